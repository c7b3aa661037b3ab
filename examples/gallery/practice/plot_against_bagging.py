"""
Is it better than Bagging and Stacking?
=======================================

It depends on the members. This example compares joint training with two ensembles of
scikit-learn that train their members one by one, and with one network of as many
hidden units. It does so for members of three sizes. All have the same kind of member,
the same rows and as many epochs.
"""

# %%
# The rivals
# ----------
#
# Bagging trains each member on a bootstrap sample, and takes the mean of their
# probabilities. Stacking trains each on all rows, and again for every fold, to fit a
# logistic regression to what they say. The joint ensemble trains all at once.

from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

N_MEMBERS = 6


def network(n_units):
    return mlp_classifier(
        hidden_layer_sizes=(n_units,), lr=0.03, max_epochs=15, batch_size=100
    )


def rivals(n_units):
    member = network(n_units)
    return {
        "joint, lam = 0.9": JointEnsembleClassifier(
            member, N_MEMBERS, lam=0.9, random_state=0
        ),
        "joint, lam = 0": JointEnsembleClassifier(
            member, N_MEMBERS, lam=0, random_state=0
        ),
        "Bagging": BaggingClassifier(member, N_MEMBERS, random_state=0),
        "Stacking": StackingClassifier(
            [(f"member {j}", member) for j in range(N_MEMBERS)],
            LogisticRegression(max_iter=1000),
            cv=2,
        ),
        "one network": network(N_MEMBERS * n_units),
    }


# %%
# The comparison
# --------------
#
# The digits that come with scikit-learn: 600 rows to learn from, all others for the
# test. Networks of skorch that are fitted by others draw their initial weights from
# torch's global generator, which is seeded for them.

import time

import pandas as pd
import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    X.astype("float32") / 16, y, train_size=600, stratify=y, random_state=0
)
rivals(2)["joint, lam = 0"].fit(X_train, y_train)  # a first fit loads libraries
rows = []
for n_units in (2, 4, 16):
    for name, model in rivals(n_units).items():
        torch.manual_seed(0)
        started = time.perf_counter()
        model.fit(X_train, y_train)
        rows.append(
            {
                "units": n_units,
                "model": name,
                "accuracy": model.score(X_test, y_test),
                "seconds": time.perf_counter() - started,
            }
        )
results = pd.DataFrame(rows).pivot(index="units", columns="model")
print(results["accuracy"].round(3).T.to_string())

# %%
# On the left is how good they are, on the right how long their fits took on the machine
# that has built these pages.

import matplotlib.pyplot as plt

looks = {
    "joint, lam = 0.9": {"color": "tab:blue", "lw": 3},
    "joint, lam = 0": {"color": "tab:cyan"},
    "Bagging": {"color": "tab:orange"},
    "Stacking": {"color": "tab:red"},
    "one network": {"color": "0.4", "ls": "--"},
}
fig, axes = plt.subplots(1, 2, figsize=(10, 5), layout="constrained")
for ax, figure in zip(axes, ["accuracy", "seconds"], strict=True):
    for name, look in looks.items():
        ax.plot(results[figure][name], marker="o", label=name, **look)
    ax.set(xscale="log", xlabel=f"hidden units of each of {N_MEMBERS} members")
    ax.set(ylabel=figure)
    ax.set_xticks(results.index, results.index)
    ax.minorticks_off()
axes[0].legend()
axes[1].set(yscale="log")
plt.show()

# %%
# Members of two units are too small to do the task alone, and joint training is far
# ahead of everything that trains them one by one. With four units the lead is small.
# With sixteen the ensembles are within two points of one another, which is about what
# 1,197 test rows and one split can tell apart, and what is left to choose by is time.
# One network of as many units is ahead of all ensembles here, at every size. What it
# does not have is members, to look at, to drop, or to ask one by one.
#
# :doc:`/guide/comparing` says what to keep equal in such a comparison.
