"""Ensembles of perceptrons on Fashion-MNIST by the paper's protocol: one run of each.

Webb et al. (2020), section 4 and the authors' experiment scripts: one hidden layer,
weights and biases from U(-1/sqrt(fan_in), 1/sqrt(fan_in)), which are torch's own, the
same for every lam of a seed; SGD with momentum 0.9 and a member's rate of 0.02 (0.006
from lam = 0.99 on); batches of 100; 10,000 of the training images to validate; the
epoch with the least error of the ensemble on these is restored.
"""

import time
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from examples._data import Data
from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.inspection import diversity_decomposition, robustness_curve

# Members and their hidden units, of about 815,000 parameters each.
SIZES = {"1x1024": (1, 1024), "16x64": (16, 64), "64x16": (64, 16), "256x4": (256, 4)}
LAMS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)
N_REPEATS = 20


class Outcome(NamedTuple):
    """What is known of a run.

    Attributes
    ----------
    ensemble : JointEnsembleClassifier
    final : dict
        Figures of the restored epoch on each split.
    epochs : list of dict
        Figures of each epoch.
    """

    ensemble: JointEnsembleClassifier
    final: list[dict[str, Any]]
    epochs: list[dict[str, Any]]


def member(hidden: int, lam: float, epochs: int, seed: int, device: str) -> Any:
    """The prototype of a member."""
    best = EarlyStopping("valid_acc", epochs, lower_is_better=False, load_best=True)
    return mlp_classifier(
        (hidden,),
        lr=0.02 if lam < 0.99 else 0.006,
        max_epochs=epochs,
        batch_size=100,
        optimizer=torch.optim.SGD,
        optimizer__momentum=0.9,
        train_split=ValidSplit(1 / 6, stratified=True, random_state=seed),
        callbacks=[("best", best)],
        device=device,
    )


def run(
    data: Data,
    size: str,
    lam: float,
    seed: int,
    epochs: int,
    device: str,
    bootstrap: bool = False,
) -> Outcome:
    """Fit an ensemble and measure it on the test images."""
    n_members, hidden = SIZES[size]
    ensemble = JointEnsembleClassifier(
        member(hidden, lam, epochs, seed, device),
        n_members,
        lam,
        bootstrap=bootstrap,
        random_state=seed,
    )
    start = time.perf_counter()
    ensemble.fit(data.X_train, data.y_train)
    seconds = time.perf_counter() - start
    of_epochs = list(_of_epochs(ensemble.history_))
    at_best = of_epochs[2 * ensemble.best_epoch_ - 1]
    assert at_best["split"] == "valid"
    final = [
        {**at_best, "seconds": seconds},
        {
            "split": "test",
            "epoch": ensemble.best_epoch_,
            "seconds": seconds,
            **_on_test_images(ensemble, data),
        },
    ]
    return Outcome(ensemble, final, of_epochs)


def _of_epochs(history: Any) -> Iterator[dict[str, Any]]:
    """Figures of training and validation images, epoch by epoch."""
    for row in history:
        for split in ("train", "valid"):
            errors = 1 - np.array(row[f"{split}_member_accuracies"])
            yield {
                "split": split,
                "epoch": row["epoch"],
                "error": 1 - row["valid_acc"] if split == "valid" else np.nan,
                "loss": row[f"{split}_ensemble_loss"],
                "member_error": errors.mean(),
                "best_member_error": errors.min(),
                "member_loss": row[f"{split}_member_loss"],
                "diversity": row[f"{split}_diversity"],
                "effective_members": row.get(f"{split}_effective_members", np.nan),
            }


def _on_test_images(ensemble: Any, data: Data) -> dict[str, float]:
    X, y = data.X_test, data.y_test
    parts = diversity_decomposition(ensemble, X, y)
    errors = 1 - ensemble.score_members(X, y)
    return {
        "error": 1 - ensemble.score(X, y),
        "loss": parts.ensemble_loss,
        "member_error": errors.mean(),
        "best_member_error": errors.min(),
        "member_loss": parts.member_loss,
        "diversity": parts.diversity,
    }


def dropped(ensemble: Any, data: Data, seed: int) -> Iterator[dict[str, float]]:
    """Test error with members dropped at random, others for each image."""
    n_members = len(ensemble.estimators_)
    counts = sorted({min(n_members * k // 20, n_members - 1) for k in range(21)})
    curve = robustness_curve(
        ensemble,
        data.X_test,
        data.y_test,
        n_dropped=counts,
        n_repeats=N_REPEATS,
        random_state=seed,
    )
    for n_dropped, scores in zip(curve.n_dropped, curve.scores, strict=True):
        yield {
            "dropped": int(n_dropped),
            "share": n_dropped / n_members,
            "error": 1 - scores.mean(),
            "deviation": scores.std(),
        }
