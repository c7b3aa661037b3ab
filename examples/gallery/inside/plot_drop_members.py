"""
How many members may be missing?
================================

An ensemble need not answer with all of its members: a device may be short of time, a
process may have died. What that costs depends on how much the members rely on each
other, which is what ``lam`` is about.
"""

# %%
# Three ensembles
# ---------------
#
# Thirty-two small members on the digits of scikit-learn, trained with three values of
# ``lam``.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype("float32") / 16, y, test_size=0.4, random_state=0
)
member = mlp_classifier(hidden_layer_sizes=(4,), lr=0.02, max_epochs=40)
ensembles = {
    lam: JointEnsembleClassifier(member, n_estimators=32, lam=lam, random_state=0)
    for lam in (0, 0.9, 1)
}
for lam, clf in ensembles.items():
    clf.fit(X_train, y_train)
    print(
        f"lam = {lam:<3}  accuracy {clf.score(X_test, y_test):.3f}, "
        f"of the mean member {clf.score_members(X_test, y_test).mean():.3f}"
    )

# %%
# Ask some of the members
# -----------------------
#
# Every method that predicts takes ``members``, and runs no others. They may be others
# in every call.

clf = ensembles[0.9]
for members in ([3], [3, 17], range(16), range(32)):
    accuracy = clf.score(X_test, y_test, members=list(members))
    print(f"{len(members):2} members: {accuracy:.3f}")

# %%
# Drop members at random
# ----------------------
#
# The curve drops so many members, others for every row, twenty times, and shows mean
# and standard deviation.

import matplotlib.pyplot as plt

from sklearn_jointens.inspection import RobustnessCurveDisplay

fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
for clf in ensembles.values():
    RobustnessCurveDisplay.from_estimator(
        clf, X_test, y_test, n_dropped=range(0, 32, 2), random_state=0, ax=ax
    )
ax.set_ylim(0.5, 1)
plt.show()

# %%
# With ``lam=1`` the ensemble needs all of its members; with 0 it hardly notices that
# most are gone, but is worse to begin with. Those who may lose members choose ``lam``
# by the whole curve, and not by its left end.
#
# Make it smaller for good
# ------------------------
#
# ``drop_members`` returns a new ensemble without some of the members, by number or the
# weakest by their own scores. Nothing is trained again, and the old ensemble stays as
# it was.

clf = ensembles[0.9]
smaller = clf.drop_members(n_weakest=8, X=X_train, y=y_train)
print(len(clf.estimators_), len(smaller.estimators_))
print(f"{smaller.score(X_test, y_test):.3f}")

# %%
# There are better ways to choose who goes than by the members' own scores:
# :ref:`sphx_glr_gallery_inside_plot_prune_members.py`.
