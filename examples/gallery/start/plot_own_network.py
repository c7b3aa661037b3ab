"""
How does a network of my own become an ensemble?
================================================

A member may be any PyTorch module. This example writes a small convolutional network,
wraps it in skorch as one does to use it in scikit-learn, and trains eight of them as
one ensemble. Then it looks at the filters that they have learned.
"""

# %%
# A network
# ---------
#
# An ordinary module. Arguments with names such as ``n_outputs`` are filled in with what
# the data say; see :doc:`/guide/own_modules` for the names.

from torch import nn


class SmallConvNet(nn.Module):
    """Two convolutions and a linear layer, for images of 8 by 8 pixels."""

    def __init__(self, n_channels, n_outputs, width=8):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(n_channels, width, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(8 * width, n_outputs),
        )

    def forward(self, X):
        return self.layers(X)


# %%
# A skorch classifier
# -------------------
#
# Optimizer, learning rate, epochs, callbacks and validation split are skorch's, and
# mean what they mean there. Early stopping watches the ensemble: it is the ensemble's
# validation loss that has to fall.

import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

net = NeuralNetClassifier(
    SmallConvNet,
    criterion=nn.CrossEntropyLoss,
    optimizer=torch.optim.Adam,
    lr=0.01,
    batch_size=64,
    max_epochs=15,
    iterator_train__shuffle=True,
    train_split=ValidSplit(5, stratified=True),
    callbacks=[EarlyStopping(patience=4, load_best=True)],
    verbose=0,
)

# %%
# An ensemble
# -----------
#
# The prototype is not fitted, and not changed; each member is a copy with initial
# weights of its own.

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sklearn_jointens import JointEnsembleClassifier

digits = load_digits()
images = digits.images[:, None].astype("float32") / 16  # rows, channels, height, width
X_train, X_test, y_train, y_test = train_test_split(
    images, digits.target, random_state=0
)
clf = JointEnsembleClassifier(net, n_estimators=8, lam=0.5, random_state=0)
clf.fit(X_train, y_train)

# %%

print(f"ensemble: {clf.score(X_test, y_test):.3f}")
print(f"members:  {clf.score_members(X_test, y_test).round(3)}")
print(f"epochs:   {clf.n_iter_}, of which number {clf.best_epoch_} is kept")

# %%
# All members take their steps together, in the cheapest of three ways that gives the
# same numbers. The ensemble says which one it has taken, and why:

print(clf.vectorization_.method)
print(clf.vectorization_.reason)

# %%
# What the members look for
# -------------------------
#
# ``clf.estimators_[3].module_`` is the fourth member's module, with weights of its own,
# and torch does with it what it does with any. Here it differentiates the score of the
# right class by the pixels: where ink speaks for a digit (blue), and where against it
# (red), on average over the digits of one kind.

import matplotlib.pyplot as plt
import numpy as np


def evidence(member, images):
    """Gradient of each class's score by the pixels, for the images of this class."""
    pixels = torch.tensor(images, requires_grad=True)
    scores = member.module_(pixels)
    scores[np.arange(len(images)), y_test].sum().backward()
    return np.array([pixels.grad[y_test == k, 0].mean(0) for k in range(10)])


maps = np.array([evidence(member, X_test) for member in clf.estimators_])
shown = {"member 0": maps[0], "member 1": maps[1], "all members": maps.mean(axis=0)}
fig, axes = plt.subplots(4, 10, figsize=(10, 4.3), layout="constrained")
for k, ax in enumerate(axes[0]):
    ax.imshow(X_test[y_test == k, 0].mean(axis=0), cmap="gray_r")
for row, of_classes in zip(axes[1:], shown.values(), strict=True):
    for ax, of_class in zip(row, of_classes, strict=True):
        limit = abs(of_class).max()
        ax.imshow(of_class, cmap="RdBu", vmin=-limit, vmax=limit)
for ax, name in zip(axes[:, 0], ["mean digit", *shown], strict=True):
    ax.set_ylabel(name)
for ax in axes.flat:
    ax.set(xticks=[], yticks=[])
plt.show()
