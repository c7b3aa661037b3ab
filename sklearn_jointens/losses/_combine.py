"""The combiner of the ensemble, and the diversity that it makes use of."""

from torch import Tensor

from sklearn_jointens.losses._families import Categorical
from sklearn_jointens.losses._families._base import at_least_float32


def geometric_mean(logits: Tensor) -> Tensor:
    """Normalised geometric mean of the members' class probabilities.

    ``softmax(mean_j z_j)``, the minimiser of ``mean_j KL(q || q_j)`` (Webb et al. 2020,
    eq. 2 and 3).

    Parameters
    ----------
    logits : Tensor of shape (n_members, n_samples, n_classes)
        The members' logits, or their log-probabilities: a constant added to a row of
        one member changes nothing.

    Returns
    -------
    Tensor of shape (n_samples, n_classes)
        Probabilities; rows sum to one.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import geometric_mean
    >>> q = torch.tensor([[[0.9, 0.1]], [[0.5, 0.5]]])
    >>> geometric_mean(q.log())  # sqrt(.9 * .5) : sqrt(.1 * .5) = 3 : 1
    tensor([[0.7500, 0.2500]])
    """
    mean = at_least_float32(logits).mean(0, keepdim=True)
    family = Categorical()
    return family.predicted(family.natural(mean))[0]


def diversity(logits: Tensor, reduction: str = "mean") -> Tensor:
    """How much better the ensemble is than its mean member, without any labels.

    ``D = mean_j KL(qbar || q_j) = mean_j CE(q_j, y) - CE(qbar, y)`` for every ``y``
    (Webb et al. 2020, eq. 5). It is never negative.

    Parameters
    ----------
    logits : Tensor of shape (n_members, n_samples, n_classes)
        The members' logits or log-probabilities.
    reduction : {"mean", "none"}, default="mean"
        Whether to average over samples.

    Returns
    -------
    Tensor of shape () or (n_samples,)
        The diversity, in nats.

    Raises
    ------
    ValueError
        When `reduction` is unknown.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import diversity
    >>> diversity(torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]]))
    tensor(0.2460)
    """
    if reduction not in ("mean", "none"):
        raise ValueError(
            "The 'reduction' parameter of diversity must be a str among {'mean', "
            f"'none'}}. Got {reduction!r} instead."
        )
    family = Categorical()
    value = family.diversity(family.natural(logits))
    return value.mean() if reduction == "mean" else value
