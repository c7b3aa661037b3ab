"""
May I believe its probabilities?
================================

A classifier that says 90 % should be right nine times out of ten. This example asks how
far an ensemble and its members are from that, corrects the ensemble by one number, and
uses what is left of doubt to pass hard rows on.
"""

# %%
# Noisy digits
# ------------
#
# The digits of scikit-learn are too easy for such questions. Noise is added, and only
# 400 rows are learned from; 600 are kept to calibrate with.

import numpy as np
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

X, y = load_digits(return_X_y=True)
noise = np.random.default_rng(0).normal(scale=0.35, size=X.shape)
X = (X / 16 + noise).astype("float32")
X_train, X_rest, y_train, y_rest = train_test_split(
    X, y, train_size=400, random_state=0
)
X_valid, X_test, y_valid, y_test = train_test_split(
    X_rest, y_rest, train_size=600, random_state=0
)
member = mlp_classifier(hidden_layer_sizes=(8,), max_epochs=60)
clf = JointEnsembleClassifier(member, n_estimators=16, lam=0.9, random_state=0)
clf.fit(X_train, y_train)

# %%
# Confidence and accuracy
# -----------------------
#
# :func:`~sklearn_jointens.inspection.calibration` compares the two, here for the
# ensemble and for its first member. One temperature, by which all log-probabilities are
# divided, is what scikit-learn's ``CalibratedClassifierCV`` finds on the rows that were
# kept for it. It changes no prediction.

from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from sklearn_jointens.inspection import calibration

scaled = CalibratedClassifierCV(FrozenEstimator(clf), method="temperature")
scaled.fit(X_valid, y_valid)
classifiers = {
    "one member": clf.estimators_[0],
    "ensemble": clf,
    "with a temperature": scaled,
}
curves = {}
for name, classifier in classifiers.items():
    curves[name] = calibration(classifier, X_test, y_test, n_bins=10)
    print(
        f"{name:<20} accuracy {classifier.score(X_test, y_test):.3f}"
        f"   calibration error {curves[name].expected_calibration_error:.3f}"
    )

# %%

import matplotlib.pyplot as plt

fig, axes = plt.subplots(
    1, 3, figsize=(10, 4.4), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, curve) in zip(axes, curves.items(), strict=True):
    edges = np.linspace(0, 1, 11)[:-1]
    ax.bar(edges, curve.accuracy, width=0.1, align="edge", ec="white", label="accuracy")
    ax.plot(curve.confidence, curve.confidence, "o", color="tab:orange", label="said")
    ax.plot([0, 1], [0, 1], color="0.6", lw=1)
    ax.set(title=name, xlabel="confidence", xlim=(0, 1), ylim=(0, 1))
    ax.set_xticks([0, 0.5, 1])
axes[0].set_ylabel("share of rows")
axes[0].legend(loc="upper left")
plt.show()

# %%
# The member is too sure of itself. The ensemble is less so, and the temperature
# corrects most of what is left.
#
# Pass on what is hard
# --------------------
#
# The ensemble need not answer for every row: those it is least sure of may go to
# somebody else. The curve shows the error among the rows that it keeps, by two measures
# of doubt: the entropy of the ensemble's own answer, and how much its members differ.

from sklearn_jointens.inspection import RiskCoverageDisplay

fig, ax = plt.subplots(figsize=(7, 4), layout="constrained")
for measure in ("ensemble_entropy", "disagreement"):
    RiskCoverageDisplay.from_estimator(clf, X_test, y_test, measure=measure, ax=ax)
plt.show()

# %%
# Here the entropy is the better guide; it orders the rows with fewer errors among those
# that are kept. :doc:`/guide/inside` has more measures, and says which of them to trust
# when members are trained jointly.
