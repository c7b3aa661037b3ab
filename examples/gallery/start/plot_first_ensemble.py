"""
Which digits do eight networks not agree on?
============================================

This is the shortest way to an ensemble: no network of your own, no scaling, one call of
``fit``. The ensemble is an ordinary scikit-learn classifier, and it can be opened: here
we ask which rows its members see in different ways, and have a look at these.
"""

# %%
# Fit
# ---
#
# The data are the 1,797 handwritten digits that come with scikit-learn, images of 8 by
# 8 pixels, given as rows of 64 numbers. Without a member of yours,
# :class:`~sklearn_jointens.JointEnsembleClassifier` trains eight perceptrons that take
# tables as they come.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_jointens import JointEnsembleClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
clf = JointEnsembleClassifier(random_state=0)
clf.fit(X_train, y_train)

# %%
# Predict
# -------
#
# The probabilities of the ensemble are the normalised geometric mean of its members'.

print(f"accuracy of the ensemble: {clf.score(X_test, y_test):.3f}")
print(f"and of each member:       {clf.score_members(X_test, y_test).round(3)}")

# %%
# Look at the members
# -------------------
#
# ``member_proba`` has the probabilities of every member, and
# :func:`~sklearn_jointens.inspection.uncertainty` says in how many pairs of members the
# two do not say the same. These are the seven digits of the test set with the most such
# pairs.

import matplotlib.pyplot as plt

from sklearn_jointens.inspection import uncertainty

disagreement = uncertainty(clf, X_test).disagreement
hardest = (-disagreement).argsort()[:7]
proba = clf.member_proba(X_test[hardest])
ensemble = clf.predict_proba(X_test[hardest])
proba.shape  # members, rows, classes

# %%
# In the lower pictures a row is a member, and the lowest row is the ensemble; a column
# is a class, and the frame marks the label.

fig, axes = plt.subplots(
    2, 7, figsize=(10, 4.6), height_ratios=[1, 1.35], layout="constrained"
)
for j, i in enumerate(hardest):
    image, members = axes[:, j]
    image.imshow(X_test[i].reshape(8, 8), cmap="gray_r")
    image.set_title(f"label: {y_test[i]}", size="medium")
    image.axis("off")
    everybody = [*proba[:, j], ensemble[j]]
    members.imshow(everybody, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    members.axhline(7.5, color="white", lw=4)
    members.axvspan(y_test[i] - 0.5, y_test[i] + 0.5, fill=False, ec="tab:orange", lw=2)
    members.set(xticks=[0, 3, 6, 9], yticks=[], xlabel="class")
names = ["members", "ensemble"]
axes[1, 0].set_yticks([3.5, 8], names, rotation=90, va="center")
axes[1, 0].tick_params(axis="y", length=0)
plt.show()

# %%
# Where to go from here: train the members for each other
# (:ref:`sphx_glr_gallery_dial_plot_along_the_dial.py`), give it a table with categories
# (:ref:`sphx_glr_gallery_start_plot_tables.py`), or a network of your own
# (:ref:`sphx_glr_gallery_start_plot_own_network.py`).
