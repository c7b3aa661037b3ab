"""
Which lam is best for my data?
==============================

That depends on the members and the data, and is a question for cross-validation.
:class:`~sklearn_jointens.JointEnsembleClassifierCV` trains the ensembles of all values
of ``lam`` and all folds as one program. This example asks the question for tiny members
and for larger ones.
"""

# %%
# One search
# ----------
#
# Members with four hidden units on the digits that come with scikit-learn, as images of
# 64 pixels. The score is the log-loss, which tells values of ``lam`` apart sooner than
# accuracy does.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_jointens import JointEnsembleClassifierCV, mlp_classifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype("float32") / 16, y, train_size=900, random_state=0
)
search = JointEnsembleClassifierCV(
    mlp_classifier(hidden_layer_sizes=(4,), lr=0.03, max_epochs=30),
    n_estimators=32,
    lams=[0, 0.5, 0.9, 0.95, 1],
    cv=3,
    scoring="neg_log_loss",
    random_state=0,
)
search.fit(X_train, y_train)

# %%
# The search is a classifier itself, and answers with an ensemble of the chosen ``lam``
# that was trained on all rows:

print(f"lam = {search.lam_}")
print(f"log-loss on test rows: {-search.score(X_test, y_test):.3f}")

# %%
# The curve
# ---------
#
# Above is the ensemble, with the standard deviation over the folds. Below are its mean
# member, which is trained less for itself the larger ``lam`` is, and the diversity,
# which is the gap between the two.

import matplotlib.pyplot as plt

from sklearn_jointens.inspection import LamCurveDisplay

display = LamCurveDisplay.from_estimator(search, negate_score=True)
display.figure_.set_size_inches(7, 5.5)
plt.show()

# %%
# Larger members
# --------------
#
# The same search with eight members of sixteen units: as many hidden units in all, in
# fewer networks.

larger = JointEnsembleClassifierCV(
    mlp_classifier(hidden_layer_sizes=(16,), lr=0.02, max_epochs=30),
    n_estimators=8,
    lams=search.lams,
    cv=3,
    scoring="neg_log_loss",
    random_state=0,
)
larger.fit(X_train, y_train)

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for name, fitted in {
    "32 members of 4 units": search,
    "8 members of 16 units": larger,
}.items():
    LamCurveDisplay.from_estimator(
        fitted,
        negate_score=True,
        std_display_style=None,
        ax={"ensemble": ax},
        line_kw={"label": name},
    )
plt.show()

# %%
# All values of ``lam`` were tried on the same folds and from the same initial weights,
# so their differences within a fold say more than their standard deviations do:

import pandas as pd

for name, fitted in {"32 members of 4": search, "8 members of 16": larger}.items():
    results = pd.DataFrame(fitted.cv_results_).set_index("param_lam")
    folds = -results.filter(regex=r"^split\d+_test_score$")
    print(f"log-loss of {name} units, less that of lam = 0, by fold")
    print((folds - folds.loc[0.0]).round(3).to_string(header=False), end="\n\n")

# %%
# The tiny members gain in every fold from being trained for each other, whichever of
# the three largest values it is. For the larger ones the differences are hundredths at
# most, and hardly larger than those between folds: there ``lam`` may be chosen by what
# else the members should be good for.
#
# :doc:`/guide/choosing_lam` says how to read such curves, and what larger searches have
# found.
