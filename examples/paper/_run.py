"""One run: an ensemble is fitted, and what the figures show of it is measured."""

import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.special import softmax
from sklearn.ensemble import BaggingClassifier, StackingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from skorch.dataset import Dataset, ValidSplit

from examples._data import Data, load_data
from examples.paper._images import load_images
from examples.paper._protocols import PROTOCOLS, Case, Protocol
from sklearn_jointens import MemberDominanceWarning
from sklearn_jointens.inspection import diversity_decomposition, robustness_curve
from sklearn_jointens.nn import MLP

N_REPEATS = 20

Row = dict[str, Any]

# Of each run and split; what a method does not have is NaN.
FIGURES = (
    *("split", "epoch", "error", "loss", "member_error", "best_member_error"),
    *("member_loss", "diversity", "n_parameters", "seconds"),
)


class Outcome(NamedTuple):
    """What is known of a run.

    Attributes
    ----------
    ensemble : JointEnsembleClassifier or BaggingClassifier
    final : list of dict
        Figures of the epoch that is restored, on each split.
    epochs : list of dict
        Figures of each epoch and split.
    """

    ensemble: Any
    final: list[Row]
    epochs: list[Row]


def load(configuration: str, dataset: str, path: Path | None) -> Data:
    """Images as members of this kind take them: flat, or in rows and columns."""
    is_flat = PROTOCOLS[configuration].module is MLP
    return (load_data if is_flat else load_images)(dataset, path)


def count_images(asked: int | None, data: Data) -> int:
    """How many are learned from; all if there are no more, or none are asked for."""
    return len(data.y_train) if asked is None else min(asked, len(data.y_train))


def run(case: Case, data: Data, device: str) -> Outcome:
    """Fit and measure.

    Parameters
    ----------
    case : Case
    data : Data
        All images; those of the case are drawn.
    device : str

    Returns
    -------
    Outcome
    """
    protocol = PROTOCOLS[case.configuration]
    data, valid = divided(drawn(data, case), protocol, case)
    if case.method == "BaggingClassifier":
        return _bagging(case, data, valid, device)
    ensemble = protocol.ensemble(case, valid, device)
    start = time.perf_counter()
    with warnings.catch_warnings():
        # Which is what the figures are about.
        warnings.simplefilter("ignore", MemberDominanceWarning)
        ensemble.fit(data.X_train, data.y_train)
    seconds = time.perf_counter() - start
    of_epochs = list(_of_epochs(ensemble.history_))
    best = ensemble.best_epoch_
    at_best = [row for row in of_epochs if row["epoch"] == best]
    tested = _of_joint(ensemble, data)
    if case.method == "stacking":
        tested |= _of_stack(ensemble, data, valid)
    final = [
        *(row for row in at_best if row["split"] == "valid"),
        {"split": "test", "epoch": best, **tested},
    ]
    return Outcome(ensemble, _whole(final, ensemble, seconds), of_epochs)


def drawn(data: Data, case: Case) -> Data:
    """The images that a case learns from, some of them with a wrong label."""
    X, y = data.X_train, data.y_train
    if case.n_images < len(y):
        rows, _ = train_test_split(
            np.arange(len(y)),
            train_size=case.n_images,
            stratify=y,
            random_state=case.seed,
        )
        X, y = X[rows], y[rows]
    if case.flipped:
        random = np.random.RandomState(case.seed)
        wrong = random.permutation(len(y))[: round(case.flipped * len(y))]
        others = random.randint(1, data.n_classes, size=len(wrong))
        y = y.copy()
        y[wrong] = (y[wrong] + others) % data.n_classes
    return data._replace(X_train=X, y_train=y)


def divided(data: Data, protocol: Protocol, case: Case) -> tuple[Data, Dataset | None]:
    """Images to learn from, and those that the epoch is chosen by."""
    share = protocol.validation
    if case.method == "stacking":  # which learns from members' answers to other images
        share = share or 1 / 6
    if share is None:
        return data, None
    X, y = data.X_train, data.y_train
    split = ValidSplit(share, stratified=True, random_state=case.seed)
    learnt, valid = (part.indices for part in split(X, y))
    learnt = data._replace(X_train=X[learnt], y_train=y[learnt])
    return learnt, Dataset(X[valid], y[valid])


def dropped(ensemble: Any, data: Data, seed: int) -> Iterator[Row]:
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


def members(ensemble: Any, data: Data) -> Iterator[Row]:
    """Each member's training error by epoch, and its error on the test images."""
    tested = 1 - ensemble.score_members(data.X_test, data.y_test)
    for row in ensemble.history_:
        of_members = row["train_member_accuracies"], row["train_member_gains"]
        for j, (accuracy, gain) in enumerate(zip(*of_members, strict=True)):
            yield {
                "epoch": row["epoch"],
                "steps": row["train_batch_count"] * row["epoch"],
                "member": j,
                "error": 1 - accuracy,
                "gain": gain,
                "effective_members": row["train_effective_members"],
                "test_error": tested[j],
            }


def _of_epochs(history: Any) -> Iterator[Row]:
    """Figures of training and validation images, epoch by epoch."""
    for row in history:
        for split in ("train", "valid"):
            if f"{split}_member_accuracies" not in row:
                continue
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


def _of_joint(ensemble: Any, data: Data) -> Row:
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


def _of_stack(ensemble: Any, data: Data, valid: Dataset) -> Row:
    """Of scikit-learn's stack, which learns from the validation images."""
    named = [(f"member {j}", net) for j, net in enumerate(ensemble.estimators_)]
    stack = StackingClassifier(named, LogisticRegression(max_iter=1000), cv="prefit")
    stack.fit(valid.X, valid.y)
    return _of_proba(stack.predict_proba(data.X_test), data)


def _of_geometric_mean(bagging: BaggingClassifier, data: Data) -> Row:
    """As ensembles of ours predict, so that nothing differs but the drawing of rows."""
    members = [net.predict_proba(data.X_test) for net in bagging.estimators_]
    proba = softmax(np.log(np.clip(members, 1e-30, 1)).mean(0), axis=1)
    return _of_proba(proba, data)


def _of_proba(proba: np.ndarray, data: Data) -> Row:
    proba = proba.astype(np.float64)
    proba /= proba.sum(axis=1, keepdims=True)  # which float32 is too coarse for
    return {
        "error": np.mean(proba.argmax(axis=1) != data.y_test),
        "loss": log_loss(data.y_test, proba, labels=np.arange(data.n_classes)),
    }


def _bagging(case: Case, data: Data, valid: Dataset | None, device: str) -> Outcome:
    """scikit-learn's own, member after member; judged by its geometric mean."""
    protocol = PROTOCOLS[case.configuration]
    member = protocol.member(case, valid, device)
    bagging = BaggingClassifier(member, protocol.n_members, random_state=case.seed)
    torch.manual_seed(case.seed)  # of which members draw their weights
    start = time.perf_counter()
    bagging.fit(data.X_train, data.y_train)
    seconds = time.perf_counter() - start
    errors = [1 - net.score(data.X_test, data.y_test) for net in bagging.estimators_]
    tested = {
        "split": "test",
        "epoch": case.n_epochs,
        **_of_geometric_mean(bagging, data),
        "member_error": np.mean(errors),
        "best_member_error": min(errors),
    }
    return Outcome(bagging, _whole([tested], bagging, seconds), [])


def _whole(rows: list[Row], ensemble: Any, seconds: float) -> list[Row]:
    """Rows with all columns."""
    module = ensemble.estimators_[0].module_
    common = {
        "n_parameters": sum(weights.numel() for weights in module.parameters()),
        "seconds": seconds,
    }
    return [
        {name: {**row, **common}.get(name, np.nan) for name in FIGURES} for row in rows
    ]
