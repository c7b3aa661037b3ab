"""Which exponential family a criterion of torch stands for."""

from collections.abc import Callable

from torch import nn

from sklearn_jointens.losses._families import (
    Bernoulli,
    Categorical,
    CategoricalProbabilities,
    Family,
)


def _categorical(criterion: nn.CrossEntropyLoss) -> Categorical:
    return Categorical(
        criterion.weight, criterion.label_smoothing, criterion.ignore_index
    )


def _probabilities(criterion: nn.NLLLoss) -> CategoricalProbabilities:
    return CategoricalProbabilities(
        criterion.weight, ignore_index=criterion.ignore_index
    )


def _bernoulli(criterion: nn.BCEWithLogitsLoss) -> Bernoulli:
    return Bernoulli(criterion.pos_weight, criterion.weight)


_FAMILY_OF_CRITERION: dict[type[nn.Module], Callable[..., Family]] = {
    nn.CrossEntropyLoss: _categorical,
    nn.NLLLoss: _probabilities,
    nn.BCEWithLogitsLoss: _bernoulli,
}


def family_of(criterion: nn.Module) -> Family:
    """The family that a member's criterion stands for.

    Parameters
    ----------
    criterion : nn.Module
        An initialized ``CrossEntropyLoss``, ``NLLLoss`` (on probabilities, as skorch
        means it) or ``BCEWithLogitsLoss``, with ``reduction="mean"``. Their weights,
        label smoothing and ignored index are kept.

    Returns
    -------
    Family

    Raises
    ------
    ValueError
        When no family is known for the criterion: another class, a subclass with a
        ``forward`` of its own, another reduction.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import family_of
    >>> type(family_of(torch.nn.CrossEntropyLoss())).__name__
    'Categorical'
    """
    criterion = getattr(criterion, "_orig_mod", criterion)  # torch.compile's wrapper
    for known in _FAMILY_OF_CRITERION:
        if isinstance(criterion, known) and type(criterion).forward is known.forward:
            break
    else:
        is_subclass = isinstance(criterion, tuple(_FAMILY_OF_CRITERION))
        own = " with a 'forward' of its own" if is_subclass else ""
        raise ValueError(
            "The 'criterion' parameter of the member must be CrossEntropyLoss, NLLLoss "
            "(with a module that puts out probabilities) or BCEWithLogitsLoss, whose "
            f"losses can be joined. Got {type(criterion).__name__}{own} instead."
        )
    if criterion.reduction != "mean":
        raise ValueError(
            "The 'criterion__reduction' parameter of the member must be 'mean'. "
            f"Got {criterion.reduction!r} instead."
        )
    return _FAMILY_OF_CRITERION[known](criterion)
