"""Ensembles of convolutional networks on CIFAR-10: who learns at lam = 1.

The paper's protocol (Webb et al. 2020, Fig. 5 and 6): 10 members, convolutions of 3 x 3
without padding, SGD with momentum 0.9, batches of 100, and a member's learning rate of
0.006 (0.002 at lam = 1), which is the authors' 0.06 and 0.02 of the loss that is
divided by the number of members. Without their flips and crops.
"""

from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import torch
from torch import nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.inspection import MemberCurvesDisplay, MemberFiltersDisplay
from sklearn_jointens.nn import ConvNet
from sklearn_jointens.training import MemberNetClassifier
from sklearn_jointens.training._dominance import dominant_member

mpl.use("Agg")

import matplotlib.pyplot as plt

N_MEMBERS = 10
# Per channel, of the training images (the authors' figures).
MEAN = np.array([0.4914, 0.4822, 0.4465], dtype=np.float32)
DEVIATION = np.array([0.2470, 0.2435, 0.2616], dtype=np.float32)


class Photographs(NamedTuple):
    """Images in the form that a network takes them.

    Attributes
    ----------
    X_train, X_test : ndarray of shape (n_samples, 3, 32, 32), dtype float32
    y_train, y_test : ndarray of shape (n_samples,)
    """

    X_train: np.ndarray
    y_train: np.ndarray
    X_test: np.ndarray
    y_test: np.ndarray


def standardised(X: np.ndarray) -> np.ndarray:
    """Channels first, with mean 0 and deviation 1."""
    X = (X.astype(np.float32) / 255 - MEAN) / DEVIATION
    return np.ascontiguousarray(X.transpose(0, 3, 1, 2))


def run(
    data: Photographs,
    widths: tuple[int, ...],
    lam: float,
    seed: int,
    epochs: int,
    device: str,
) -> tuple[JointEnsembleClassifier, list[dict[str, Any]]]:
    """A fitted ensemble, and each member's training error by epoch."""
    member = MemberNetClassifier(
        ConvNet,
        module__widths=widths,
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        lr=0.002 if lam == 1 else 0.006,
        batch_size=100,
        max_epochs=epochs,
        iterator_train__shuffle=True,
        train_split=None,
        verbose=0,
        device=device,
    )
    ensemble = JointEnsembleClassifier(member, N_MEMBERS, lam, random_state=seed)
    ensemble.fit(data.X_train, data.y_train)
    return ensemble, _of_members(ensemble.history_)


def draw_members(ensemble: JointEnsembleClassifier, path: Path) -> None:
    """Fig. 6 and 5: errors of the members by epoch, and their first layers."""
    curves = MemberCurvesDisplay.from_estimator(ensemble)
    filters = MemberFiltersDisplay.from_estimator(ensemble)
    for name, display in (("curves", curves), ("filters", filters)):
        display.figure_.savefig(path.with_name(f"{path.name}_{name}.png"), dpi=150)
        plt.close(display.figure_)


def _of_members(history: Any) -> list[dict[str, Any]]:
    """A row for each epoch and member."""
    rows = []
    for row in history:
        epoch = row["epoch"]
        told = dominant_member(history[:epoch])
        accuracies = row["train_member_accuracies"]
        for j, (accuracy, gain) in enumerate(
            zip(accuracies, row["train_member_gains"], strict=True)
        ):
            rows.append(
                {
                    "epoch": epoch,
                    "member": j,
                    "error": 1 - accuracy,
                    "gain": gain,
                    "effective_members": row["train_effective_members"],
                    "is_dominant": j == told,
                }
            )
    return rows
