"""
How small can an ensemble become?
=================================

Members that stand in for each other need not all be there. This example trains many,
and then lets :func:`~sklearn_jointens.inspection.prune_members` drop those that the
others can do without, by rows that no member has seen.
"""

# %%
# Sixty-four members
# ------------------
#
# Of the digits of scikit-learn, one part trains the ensemble, one chooses the members,
# and one judges the result: the rows that have chosen flatter what they have chosen.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

X, y = load_digits(return_X_y=True)
X_rest, X_test, y_rest, y_test = train_test_split(
    X.astype("float32") / 16, y, test_size=0.3, random_state=0
)
X_train, X_valid, y_train, y_valid = train_test_split(
    X_rest, y_rest, test_size=0.4, random_state=0
)
member = mlp_classifier(hidden_layer_sizes=(4,), lr=0.02, max_epochs=40)
clf = JointEnsembleClassifier(member, n_estimators=64, lam=0.8, random_state=0)
clf.fit(X_train, y_train)

# %%
# Prune
# -----
#
# One member after the other goes, each time the one without which the others lose
# least. The smallest ensemble is kept whose accuracy is within ``max_loss`` of that of
# all members.

from sklearn_jointens.inspection import prune_members

pruned = prune_members(clf, X_valid, y_valid, max_loss=0.01)
small = pruned.estimator
print(f"members left: {pruned.members}")
for name, ensemble in {"all members": clf, "those left": small}.items():
    print(
        f"{name:<12} {ensemble.n_estimators:3}"
        f"   validation {ensemble.score(X_valid, y_valid):.3f}"
        f"   test {ensemble.score(X_test, y_test):.3f}"
    )

# %%
# What the order is worth
# -----------------------
#
# ``path_members`` is the order in which members go. The same order on the test rows,
# beside ten orders by chance:

import matplotlib.pyplot as plt
import numpy as np


def accuracies(order):
    """With all members, without the first of them, and so on to the last."""
    return [clf.score(X_test, y_test, members=order[k:]) for k in range(len(order))]


rng = np.random.default_rng(0)
n_left = np.arange(64, 0, -1)
by_chance = [accuracies(rng.permutation(64)) for _ in range(10)]

fig, ax = plt.subplots(figsize=(7, 4.5), layout="constrained")
ax.plot(n_left, np.transpose(by_chance), color="0.7", lw=1)
ax.plot([], color="0.7", lw=1, label="test rows, by chance")
ax.plot(n_left, pruned.path_scores, "--", color="tab:orange", label="validation rows")
ax.plot(n_left, accuracies(pruned.path_members), color="tab:blue", lw=2.5)
ax.plot([], color="tab:blue", lw=2.5, label="test rows")
ax.axvline(small.n_estimators, color="tab:red", ls=":", label="chosen")
ax.set(xlabel="members left", ylabel="accuracy", xscale="log", ylim=(0.6, 1))
ax.set_xticks([1, 2, 4, 8, 16, 32, 64], [1, 2, 4, 8, 16, 32, 64])
ax.minorticks_off()
ax.legend()
plt.show()

# %%
# The first members to go are no loss, or a gain. Close to the end the order matters: a
# few chosen members do what takes many that are drawn. On the test rows the pruned
# ensemble loses a little more than the point that it was allowed on the validation
# rows.
#
# It is an ensemble like any other: it can be pickled, saved, pruned again, or go on
# learning. It has the weights of the members that it kept:

small
