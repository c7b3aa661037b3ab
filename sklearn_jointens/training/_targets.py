"""What y holds: how a net is told of it, how its predictions are read, and judged.

The one place that knows classes from labels from numbers. Whoever trains, predicts,
scores or saves asks the targets.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.metrics import accuracy_score, r2_score
from torch import Tensor, nn

from sklearn_jointens.losses import Family, family_of
from sklearn_jointens.losses._criteria import CLASS_CRITERIA, NUMBER_CRITERIA
from sklearn_jointens.training._batches import as_tensor

# Natural parameters of all members for some rows, the rows' encoded targets, and their
# weights, (n_samples,) or (n_members, n_samples), or None.
Chunks = Iterable[tuple[Tensor, Tensor, Tensor | None]]


class Targets:
    """Base of the kinds of targets.

    Attributes
    ----------
    n_outputs : int
        How many numbers a module puts out for a row.
    n_predicted : int
        How many there are in a row of what a family calls `predicted`.
    """

    n_outputs: int
    n_predicted: int

    # Of y's rows.
    row_shape: tuple[int, ...] = (-1,)

    @property
    def kind(self) -> Any:
        """What targets must have in common for nets of the same shape."""
        return self.n_outputs

    def family(self, criterion: nn.Module) -> Family:
        """The family that a member's criterion stands for, with such targets."""
        raise NotImplementedError

    def encode(self, y: Any) -> np.ndarray:
        """Targets as the criterion takes them."""
        raise NotImplementedError

    def decide(self, family: Family, predicted: np.ndarray) -> np.ndarray:
        """Encoded targets that are said, of what the family has `predicted`."""
        return family.decide(predicted)

    def decode(self, decided: np.ndarray) -> np.ndarray:
        """What encoded targets stand for: what `predict` returns."""
        raise NotImplementedError

    # All values that a target may have; None is any number.
    known: np.ndarray | None = None

    def unknown_in(self, y: np.ndarray) -> list[Any]:
        """Targets that are none of these, sorted."""
        if self.known is None:
            return []
        return sorted(set(y.ravel().tolist()) - set(self.known.tolist()), key=str)

    def wrong(self, y: np.ndarray) -> str | None:
        """What y must be instead, as the end of a sentence; None where it is right."""
        raise NotImplementedError

    def beside(self, y: Tensor, output: Any) -> Tensor:
        """Encoded targets in the form that a criterion takes beside a net's output."""
        return y

    def nonlinearity(self, family: Family) -> Callable[[Tensor], Tensor] | None:
        """What makes predictions of one net's output; None is as skorch knows it."""
        return lambda output: family.predicted(family.natural(output[None]))[0]

    def member_scores(self, family: Family, chunks: Chunks) -> np.ndarray:
        """Each member's own score, (n_members,); NaN where nothing counts."""
        raise NotImplementedError

    def score(self, y: Any, predicted: Any, sample_weight: Any = None) -> float:
        """How good predictions are, by default."""
        raise NotImplementedError


class _Counted(Targets):
    """Targets that a prediction hits or misses: the score is accuracy."""

    def member_scores(self, family: Family, chunks: Chunks) -> np.ndarray:
        hits: Any = 0.0
        total: Any = 0.0
        for natural, y, weight in chunks:
            correct = family.correct(natural, y)
            assert correct is not None
            if weight is None:
                weight = torch.ones(natural.shape[-1])
            weight = weight.to(natural.device, torch.float64)
            hits = hits + (correct * weight).sum(-1).cpu().numpy()
            total = total + weight.sum(-1).cpu().numpy()
        total = np.broadcast_to(total, hits.shape)
        return np.divide(hits, total, out=np.full(len(hits), np.nan), where=total > 0)

    def score(self, y: Any, predicted: Any, sample_weight: Any = None) -> float:
        return accuracy_score(y, predicted, sample_weight=sample_weight)


class ClassTargets(_Counted):
    """One of several classes.

    Parameters
    ----------
    classes : ndarray of shape (n_classes,)
        Sorted.
    is_one_logit : bool
        Whether a module puts out one number, the logit of the second of two classes.
    """

    row_shape = ()

    def __init__(self, classes: Any, is_one_logit: bool) -> None:
        self.classes = self.known = np.asarray(classes)
        self.is_one_logit = is_one_logit
        self.n_predicted = len(self.classes)
        self.n_outputs = 1 if is_one_logit else self.n_predicted

    @property
    def kind(self) -> Any:
        return tuple(self.classes.tolist())

    def family(self, criterion: nn.Module) -> Family:
        return family_of(criterion, criteria=CLASS_CRITERIA)

    def encode(self, y: Any) -> np.ndarray:
        encoded = np.searchsorted(self.classes, np.asarray(y))
        return encoded.astype(np.float32) if self.is_one_logit else encoded

    def decode(self, decided: np.ndarray) -> np.ndarray:
        return self.classes[decided]

    def wrong(self, y: np.ndarray) -> str | None:
        if y.ndim > 1:
            return f"have the shape (n_samples,). Got {y.shape} instead."
        n_classes, classes = len(self.classes), self.classes.tolist()
        if self.is_one_logit and n_classes > 2:
            return (
                "hold 2 classes with criterion=BCEWithLogitsLoss. Only binary "
                f"classification is supported. Got {n_classes} classes instead."
            )
        if n_classes < 2:
            return f"hold at least 2 classes. Got {n_classes} class instead: {classes}."
        unknown = np.setdiff1d(y, self.classes).tolist()
        return (
            f"hold the classes {classes}. Got {unknown} besides." if unknown else None
        )

    def nonlinearity(self, family: Family) -> Callable[[Tensor], Tensor] | None:
        return super().nonlinearity(family) if self.is_one_logit else None


class LabelTargets(_Counted):
    """Several labels, each of which a row has or has not.

    Parameters
    ----------
    n_labels : int
    """

    known = np.arange(2)

    def __init__(self, n_labels: int) -> None:
        self.n_outputs = self.n_predicted = n_labels

    def wrong(self, y: np.ndarray) -> str | None:
        if y.shape[1:] == (self.n_outputs,):
            return None
        return f"have the shape (n_samples, {self.n_outputs}). Got {y.shape} instead."

    @property
    def classes(self) -> np.ndarray:
        """Numbers of the labels."""
        return np.arange(self.n_outputs)

    def family(self, criterion: nn.Module) -> Family:
        return family_of(criterion, n_labels=self.n_outputs)

    def encode(self, y: Any) -> np.ndarray:
        return np.asarray(y).astype(np.float32)

    def beside(self, y: Tensor, output: Any) -> Tensor:
        return y.to(output.dtype) if isinstance(output, Tensor) else y

    def decode(self, decided: np.ndarray) -> np.ndarray:
        return decided


class NumberTargets(Targets):
    """One number, or several.

    Parameters
    ----------
    n_targets : int or None
        ``None`` is one, where y has no axis for it.
    family : Family
        Of the members' criterion.
    origin, unit : ndarray of shape (n_targets,), default=0 and 1
        A net learns ``(y - origin) / unit``.
    """

    def __init__(
        self,
        n_targets: int | None,
        family: Family,
        origin: Any = 0.0,
        unit: Any = 1.0,
    ) -> None:
        self.is_flat = n_targets is None
        self.n_predicted = n_targets or 1
        self.n_outputs = family.n_raw(self.n_predicted)
        self.origin = np.broadcast_to(origin, self.n_predicted).astype(np.float64)
        self.unit = np.broadcast_to(unit, self.n_predicted).astype(np.float64)

    @classmethod
    def scaled(
        cls, y: np.ndarray, weight: np.ndarray | None, family: Family
    ) -> "NumberTargets":
        """Targets in the units in which a family learns them best."""
        of_rows = None if weight is None else as_tensor(weight)
        origin, unit = family.scaling(as_tensor(y), of_rows)
        n_targets = None if y.ndim == 1 else y.shape[1]
        return cls(n_targets, family, origin.numpy(), unit.numpy())

    def wrong(self, y: np.ndarray) -> str | None:
        if y.shape[1:] == (() if self.is_flat else (self.n_predicted,)):
            return None
        shape = "(n_samples,)" if self.is_flat else f"(n_samples, {self.n_predicted})"
        return f"have the shape {shape}. Got {y.shape} instead."

    @property
    def is_plain(self) -> bool:
        """Whether y is learned as it is."""
        return not self.origin.any() and bool((self.unit == 1).all())

    def family(self, criterion: nn.Module) -> Family:
        return family_of(criterion, criteria=NUMBER_CRITERIA)

    def encode(self, y: Any) -> np.ndarray:
        columns = np.asarray(y).reshape(len(y), -1)
        if self.is_plain:
            return columns.astype(np.promote_types(columns.dtype, np.float32))
        return (columns - self.origin) / self.unit

    def beside(self, y: Tensor, output: Any) -> Tensor:
        if not isinstance(output, Tensor):
            return y
        return (y[..., 0] if output.ndim == 1 else y).to(output.dtype)

    def decide(self, family: Family, predicted: np.ndarray) -> np.ndarray:
        return predicted

    def decode(self, decided: np.ndarray) -> np.ndarray:
        return self._shaped(decided, self.origin)

    def decode_std(self, std: np.ndarray) -> np.ndarray:
        """Standard deviations in y's own units."""
        return self._shaped(std, np.zeros_like(self.origin))

    def _shaped(self, values: np.ndarray, origin: np.ndarray) -> np.ndarray:
        if not self.is_plain:
            values = values * self.unit + origin
        return values[..., 0] if self.is_flat else values

    def member_scores(self, family: Family, chunks: Chunks) -> np.ndarray:
        """R2, which is the same in any units."""
        predicted, targets, weights = zip(
            *((family.predicted(z).cpu(), y.cpu(), w) for z, y, w in chunks),
            strict=True,
        )
        all_y = torch.cat(targets).numpy()
        of_members = torch.cat(predicted, 1).numpy()
        weight: Any = [None] * len(of_members)
        if weights[0] is not None:
            rows = torch.cat(weights, -1).cpu().numpy()
            weight = np.broadcast_to(rows, (len(of_members), len(all_y)))
        return np.array(
            [_r2(all_y, one, w) for one, w in zip(of_members, weight, strict=True)]
        )

    def score(self, y: Any, predicted: Any, sample_weight: Any = None) -> float:
        return r2_score(y, predicted, sample_weight=sample_weight)


def _r2(y: np.ndarray, predicted: np.ndarray, weight: np.ndarray | None) -> float:
    if weight is not None:
        y, predicted, weight = y[weight > 0], predicted[weight > 0], weight[weight > 0]
    # Of fewer rows it is not defined.
    if len(y) < 2:
        return np.nan
    return r2_score(y, predicted, sample_weight=weight)


def targets_of(net: Any, y: np.ndarray, weight: np.ndarray | None = None) -> Targets:
    """What y holds, for members like this net.

    Parameters
    ----------
    net : skorch net
        Its criterion says what is learned; a classifier learns classes or labels.
    y : ndarray of shape (n_samples,) or (n_samples, n_targets)
    weight : ndarray of shape (n_samples,) or None, default=None
        Of the rows, for the units that a net learns numbers in.
    """
    if is_classifier(net):
        if y.ndim == 2:
            return LabelTargets(y.shape[1])
        return class_targets(net, np.unique(y))
    family = number_family(net)
    if getattr(net, "scales_targets", False):
        _check_nonlinearity(net)
        return NumberTargets.scaled(y, weight, family)
    return NumberTargets(None if y.ndim == 1 else y.shape[1], family)


def _check_nonlinearity(net: Any) -> None:
    """Raise where a net that scales y would give a user's function scaled numbers."""
    nonlinearity = net.predict_nonlinearity
    if nonlinearity not in ("auto", None):
        raise ValueError(
            "The 'predict_nonlinearity' parameter of the member must be 'auto' for "
            f"{type(net).__name__}, which learns y in units of its own; use "
            f"TransformedTargetRegressor. Got {nonlinearity!r} instead."
        )


def number_family(net: Any) -> Family:
    """The family of numbers that a net's criterion stands for.

    Parameters
    ----------
    net : skorch net
        It may be unfitted.

    Returns
    -------
    Family
    """
    return family_of(criterion_of(net), criteria=NUMBER_CRITERIA)


def class_targets(net: Any, classes: Any) -> ClassTargets:
    """These classes, as targets for members like this net.

    Parameters
    ----------
    net : skorch net
        It may be unfitted.
    classes : ndarray of shape (n_classes,)
        Sorted.

    Returns
    -------
    Targets
    """
    return ClassTargets(classes, issubclass(criterion_class(net), nn.BCEWithLogitsLoss))


def criterion_class(net: Any) -> type:
    """The class of the criterion of a net that may not be initialized."""
    criterion = net.criterion
    return criterion if isinstance(criterion, type) else type(criterion)


def criterion_of(net: Any) -> nn.Module:
    """The criterion of a net that may not be initialized."""
    return net.initialized_instance(net.criterion, net.get_params_for("criterion"))
