"""
Why does only one member learn?
===============================

At ``lam=1`` all members are branches of one network, and nothing asks a branch to be of
use by itself. Members that are large enough to fit the data alone may then leave it to
one of them. This is *model dominance*: the ensemble is little more than that member.
This example provokes it, reads the warning, and tries what it advises.
"""

# %%
# A fit that warns
# ----------------
#
# Four perceptrons with five hidden layers each, on the breast cancer data that come
# with scikit-learn: one such network is more than these data need. The warning is
# caught here, to be printed.

import warnings

import numpy as np
import torch
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import scale

from sklearn_jointens import (
    JointEnsembleClassifier,
    MemberDominanceWarning,
    mlp_classifier,
)

X, y = load_breast_cancer(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(
    scale(X).astype(np.float32), y, random_state=0
)


def fit(hidden_layer_sizes, n_estimators, lam):
    """An ensemble, and what was said while it was trained."""
    member = mlp_classifier(
        hidden_layer_sizes,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.005,
        batch_size=16,
        max_epochs=25,
    )
    clf = JointEnsembleClassifier(member, n_estimators, lam, random_state=4)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", MemberDominanceWarning)
        clf.fit(X_train, y_train)
    return clf, [str(warning.message) for warning in caught]


deep = (32, 32, 32, 32, 32)
end_to_end, messages = fit(deep, n_estimators=4, lam=1)
for message in messages:
    print(message)

# %%
# What it advises
# ---------------
#
# A lower ``lam``, which makes every member answer for itself too; independent training;
# or smaller members: here sixteen with one hidden layer of two units, again with
# ``lam=1``. For each fit we print whether it was warned of, how many members do the
# work at its end, and how good the ensemble and its mean member are.

fits = {
    "deep, lam = 1": (end_to_end, messages),
    "deep, lam = 0.5": fit(deep, n_estimators=4, lam=0.5),
    "deep, lam = 0": fit(deep, n_estimators=4, lam=0),
    "small, lam = 1": fit((2,), n_estimators=16, lam=1),
}
for name, (clf, messages) in fits.items():
    print(
        f"{name:<16} warned: {'yes' if messages else 'no':<4}"
        f" at work {clf.history_[-1, 'train_effective_members']:4.1f}"
        f" of {clf.n_estimators:<3}"
        f" accuracy {clf.score(X_test, y_test):.2f}"
        f" of the mean member {clf.score_members(X_test, y_test).mean():.2f}"
    )

# %%
# How the members learn
# ---------------------
#
# :class:`~sklearn_jointens.inspection.MemberCurvesDisplay` draws each member's own
# error on the training rows.

import matplotlib.pyplot as plt

from sklearn_jointens.inspection import MemberCurvesDisplay

fig, axes = plt.subplots(
    2, 2, figsize=(9, 6.5), sharex=True, sharey=True, layout="constrained"
)
for ax, (name, (clf, _)) in zip(axes.flat, fits.items(), strict=True):
    MemberCurvesDisplay.from_estimator(clf, ax=ax, member_line_kw={"linewidth": 1.5})
    ax.set(title=name, ylim=(0, 0.75))
    ax.label_outer()
plt.show()

# %%
# At ``lam=1`` one member learns and three never do. At 0.5 the warning came too, while
# one member was ahead; but every member has to answer for itself there, and the others
# follow. At 0 they learn by themselves. Of the small members many are needed, and no
# warning came at all. The accuracy of the ensemble is much the same in all four: what
# dominance costs is members.
#
# So the cheapest way out is to keep the one that works, and to drop the others:

gains = np.array(end_to_end.history_[-1, "train_member_gains"])
others = np.arange(4) != gains.argmax()
alone = end_to_end.drop_members(others)
print(f"accuracy of all members: {end_to_end.score(X_test, y_test):.3f}")
print(f"of member {gains.argmax()} alone:       {alone.score(X_test, y_test):.3f}")

# %%
# How the warning is made, and how often it is right, is told in
# :doc:`/guide/dominance`.
