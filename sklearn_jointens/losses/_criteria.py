"""Which family a criterion of torch stands for."""

from collections.abc import Callable, Sequence

from torch import nn

from sklearn_jointens.losses._families import (
    Bernoulli,
    BernoulliLabels,
    Categorical,
    CategoricalProbabilities,
    Family,
    Gaussian,
    HeteroscedasticGaussian,
    Huber,
    Poisson,
)
from sklearn_jointens.losses._heteroscedastic import HeteroscedasticGaussianLoss

_Families = dict[type[nn.Module], Callable[..., Family]]

_OF_CLASSES: _Families = {
    nn.CrossEntropyLoss: Categorical.of,
    nn.NLLLoss: CategoricalProbabilities.of,
    nn.BCEWithLogitsLoss: Bernoulli.of,
}
_OF_LABELS: _Families = {nn.BCEWithLogitsLoss: BernoulliLabels.of}
_OF_NUMBERS: _Families = {
    nn.MSELoss: Gaussian.of,
    nn.PoissonNLLLoss: Poisson.of,
    HeteroscedasticGaussianLoss: HeteroscedasticGaussian.of,
    nn.L1Loss: Huber.of,
    nn.SmoothL1Loss: Huber.of,
    nn.HuberLoss: Huber.of,
}

#: Criteria of classes and labels.
CLASS_CRITERIA = tuple(_OF_CLASSES)
#: Criteria of numbers.
NUMBER_CRITERIA = tuple(_OF_NUMBERS)

_REMARKS: dict[type[nn.Module], str] = {
    nn.NLLLoss: " (with a module that puts out probabilities)"
}


def family_of(
    criterion: nn.Module,
    n_labels: int | None = None,
    criteria: Sequence[type[nn.Module]] = (*CLASS_CRITERIA, *NUMBER_CRITERIA),
) -> Family:
    """The family that a member's criterion stands for.

    Parameters
    ----------
    criterion : nn.Module
        An initialized criterion, with ``reduction="mean"``; its weights and other
        settings are kept. ``NLLLoss`` is on probabilities, as skorch means it.
    n_labels : int or None, default=None
        With a number, each row has or has not each of so many labels, and
        ``BCEWithLogitsLoss`` is the only criterion.
    criteria : sequence of type, default=all that are known
        The criteria that may be used: those of classes and labels are
        ``CrossEntropyLoss``, ``NLLLoss`` and ``BCEWithLogitsLoss``, those of numbers
        ``MSELoss``, ``PoissonNLLLoss``, `HeteroscedasticGaussianLoss`, ``L1Loss``,
        ``SmoothL1Loss`` and ``HuberLoss``.

    Returns
    -------
    Family

    Raises
    ------
    ValueError
        When no family is known for the criterion: another class, a subclass with a
        ``forward`` of its own, another reduction or setting.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import family_of
    >>> type(family_of(torch.nn.CrossEntropyLoss())).__name__
    'Categorical'
    >>> type(family_of(torch.nn.BCEWithLogitsLoss(), n_labels=3)).__name__
    'BernoulliLabels'
    """
    criterion = getattr(criterion, "_orig_mod", criterion)  # torch.compile's wrapper
    families = {**_OF_CLASSES, **_OF_NUMBERS}
    if n_labels is not None:
        families, criteria = _OF_LABELS, tuple(_OF_LABELS)
    for known in criteria:
        if isinstance(criterion, known) and type(criterion).forward is known.forward:
            break
    else:
        several = " for several labels" if n_labels is not None else ""
        raise ValueError(
            f"The 'criterion' parameter of the member must be {_names(criteria)}"
            f"{several}, whose losses can be joined. Got "
            f"{type(criterion).__name__}{_what_is_wrong(criterion, criteria)} instead."
        )
    if criterion.reduction != "mean":
        raise ValueError(
            "The 'criterion__reduction' parameter of the member must be 'mean'. "
            f"Got {criterion.reduction!r} instead."
        )
    _check_weights(criterion, 1 if n_labels is None else n_labels)
    return families[known](criterion)


def _names(criteria: Sequence[type[nn.Module]]) -> str:
    *names, last = (known.__name__ + _REMARKS.get(known, "") for known in criteria)
    return f"{', '.join(names)} or {last}" if names else last


def _what_is_wrong(criterion: nn.Module, criteria: Sequence[type[nn.Module]]) -> str:
    if isinstance(criterion, tuple(criteria)):
        return " with a 'forward' of its own"
    if isinstance(criterion, nn.GaussianNLLLoss):
        return " (whose variances are an argument that a net has no place for)"
    return ""


def _check_weights(criterion: nn.Module, n_labels: int) -> None:
    """Raise unless the weights of labels are one for all or one for each."""
    if not isinstance(criterion, nn.BCEWithLogitsLoss):
        return
    for name in ("weight", "pos_weight"):
        weight = getattr(criterion, name)
        if weight is not None and weight.numel() not in (1, n_labels):
            each = "" if n_labels == 1 else f" or one for each of {n_labels} labels"
            raise ValueError(
                f"The 'criterion__{name}' parameter of the member must have one value"
                f"{each}. Got {weight.numel()} values instead."
            )
