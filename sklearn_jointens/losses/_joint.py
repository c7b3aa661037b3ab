"""The joint loss and its gradient in closed form.

Webb et al. (2020), "To Ensemble or Not Ensemble: When does End-To-End Training Fail?",
eq. 4: ``L = lam * nll(zbar, y) + (1 - lam) * mean_j nll(z_j, y)`` with ``zbar`` the
mean of the members' natural parameters, whose gradient is

    dL/dz_j = (1/M) * [lam * (mean(zbar) - y) + (1 - lam) * (mean(z_j) - y)].
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sklearn_jointens.losses._families import Categorical, Family
from sklearn_jointens.losses._target import Target


class JointTerms(NamedTuple):
    """The joint losses of G ensembles, and the parts they are made of.

    Attributes
    ----------
    loss : Tensor of shape ()
        The sum of `losses`; the only part that carries a gradient.
    losses : Tensor of shape (n_groups,)
        Each ensemble's eq. 4.
    ensemble_losses : Tensor of shape (n_groups,)
        Each ensemble's mean negative log-likelihood.
    member_losses : Tensor of shape (n_groups, n_members)
        Each member's mean negative log-likelihood.
    ensemble_output : Tensor of shape (n_groups, n_samples, ...)
        What a member that predicts as the ensemble does would have put out.
    member_correct : Tensor of shape (n_groups, n_members, n_samples), dtype bool, \
or None
        Whether a member predicts the target; None where that was not asked for, or is
        no question.
    member_outputs : Tensor of shape (n_groups, n_members, n_samples, ...)
        What the members have put out, without its history.
    """

    loss: Tensor
    losses: Tensor
    ensemble_losses: Tensor
    member_losses: Tensor
    ensemble_output: Tensor
    member_correct: Tensor | None
    member_outputs: Tensor

    @property
    def diversity(self) -> Tensor:
        """Mean member loss less ensemble loss (eq. 5), shape (n_groups,)."""
        return self.member_losses.mean(1) - self.ensemble_losses

    def of_group(self, g: int, n_samples: int) -> "JointTerms":
        """Those of one ensemble, on its first rows.

        Parameters
        ----------
        g : int
        n_samples : int

        Returns
        -------
        JointTerms
        """
        one, correct = slice(g, g + 1), self.member_correct
        return JointTerms(
            self.losses[g],
            self.losses[one],
            self.ensemble_losses[one],
            self.member_losses[one],
            self.ensemble_output[one, :n_samples],
            None if correct is None else correct[one, :, :n_samples],
            self.member_outputs[one, :, :n_samples],
        )


def _row_weights(
    target: Target, weight: Tensor | None, natural: Tensor
) -> Tensor | None:
    """Weights that make a sum over rows the criterion's mean; None is 1/n_samples.

    Each member's weights are divided by their own sum, so that a member trains as it
    would alone with these weights.

    Returns
    -------
    Tensor of shape (n_groups, 1, n_samples) or (n_groups, n_members, n_samples), or \
None
    """
    if weight is None and target.weight is None and target.normalizer is None:
        return None
    if weight is None:
        rows = natural.new_ones(natural.shape[-1])
    else:
        rows = (weight.unsqueeze(1) if weight.ndim == 2 else weight).to(natural)
    numerator = rows if target.weight is None else rows * target.weight
    divisor = rows if target.normalizer is None else rows * target.normalizer
    tiny = torch.finfo(natural.dtype).tiny
    return numerator / divisor.sum(-1, keepdim=True).clamp_min(tiny)


def _combined(natural: Tensor, rows: Tensor | None) -> Tensor:
    """Mean over the members, (n_groups, 1, n_outputs, n_samples).

    Where each has weights of its own, over those that see the row.
    """
    if rows is None or rows.shape[1] == 1:
        return natural.mean(1, keepdim=True)
    total = rows.sum(1, keepdim=True)
    share = rows / torch.where(total > 0, total, 1)
    # A row that no member sees has no part in the loss; its ensemble is the plain mean.
    share = torch.where(total > 0, share, 1 / rows.shape[1])
    # Not einsum: as a matrix product, autocast would run it in half precision.
    return (natural * share.unsqueeze(2)).sum(1, keepdim=True)


def _over_rows(
    nll: Tensor, ensemble_nll: Tensor, rows: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Losses of members (n_groups, n_members) and of ensembles (n_groups,)."""
    if rows is None:
        return nll.mean(2), ensemble_nll.mean((1, 2))
    of_ensemble = ensemble_nll * rows.mean(1, keepdim=True)
    return (nll * rows).sum(2), of_ensemble.sum((1, 2))


def _gradient(
    mean: Tensor,
    ensemble_mean: Tensor,
    target: Target,
    lam: float | Tensor,
    rows: Tensor | None,
    scale: float,
) -> Tensor:
    """The closed form, in the memory of the members' means."""
    # The part that members share first, so that each costs one pass or two in place.
    factor = scale / mean.shape[1]
    if rows is None:
        factor /= mean.shape[3]
    if isinstance(lam, Tensor):
        lam = lam.view(-1, 1, 1, 1)
    shared = ensemble_mean.mul_(factor * lam)
    target.subtract_from(shared, factor)
    own = factor * (1 - lam)
    if rows is not None and rows.shape[1] == 1:
        by_row = rows.unsqueeze(2)
        return torch.addcmul(shared * by_row, mean, own * by_row, out=mean)
    if isinstance(own, Tensor):
        torch.addcmul(shared, mean, own, out=mean)
    else:
        torch.add(shared, mean, alpha=own, out=mean)
    return mean if rows is None else mean.mul_(rows.unsqueeze(2))


class _Sum(torch.autograd.Function):
    """The sum of the losses, whose gradient is known."""

    @staticmethod
    def forward(ctx: Any, natural: Tensor, losses: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return losses.sum()

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor) -> tuple[Tensor, None, None]:
        # once_differentiable would not do: it raises only where grad_loss itself has a
        # gradient, and lets every other second derivative pass as zero.
        if torch.is_grad_enabled():
            raise RuntimeError(
                "The joint loss has no second derivative. Call backward or "
                "torch.autograd.grad without create_graph=True."
            )
        (gradient,) = ctx.saved_tensors
        # The usual `loss.backward()` needs no further pass; only on the CPU is looking
        # free.
        if grad_loss.device.type != "cpu" or grad_loss.item() != 1:
            gradient = gradient * grad_loss
        return gradient, None, None


def joint_terms(
    outputs: Tensor,
    y: Tensor,
    lam: float | Tensor,
    weight: Tensor | None = None,
    family: Family | None = None,
    gradient_scale: float = 1.0,
    predicting: Family | None = None,
) -> JointTerms:
    """Joint losses of G ensembles, each with rows and a lam of its own.

    A group of fewer rows is padded with rows of weight 0, whose targets are any valid
    ones and whose outputs are any numbers of a finite loss.

    Parameters
    ----------
    outputs : Tensor of shape (n_groups * n_members, n_samples, ...)
        Members' outputs, those of a group next to each other.
    y : Tensor of shape (n_groups, n_samples) or (n_groups, n_samples, n_targets)
        Encoded targets of each group.
    lam : float in [0, 1], or Tensor of shape (n_groups,)
        0: independent members; 1: one end-to-end system. A float is all groups'.
    weight : Tensor of shape (n_groups, n_samples), (n_groups, n_members, n_samples) \
or None
        Row weights, the same for all members of a group or each member's own.
    family : Family or None, default=None
        ``None`` is `Categorical()`.
    gradient_scale : float, default=1.0
        Factor of the gradient, and of nothing else. The number of members of a group
        gives each member the gradient it would have alone.
    predicting : Family or None, default=None
        Of what is predicted: `family` itself, or one that `transforms_members`. With
        ``None`` nothing is said of what is correct.

    Returns
    -------
    JointTerms

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import joint_terms
    >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])  # 2 members, 1 sample
    >>> twice = torch.cat([logits, logits])  # 2 groups of them
    >>> y = torch.tensor([[0], [0]])
    >>> joint_terms(twice, y, lam=torch.tensor([0.0, 1.0])).losses
    tensor([0.7201, 0.4741])
    """
    family = Categorical() if family is None else family
    dtype = torch.float64 if outputs.dtype == torch.float64 else torch.float32
    target = family.target(y, outputs.shape[2:].numel(), dtype)
    flat = family.natural(outputs, target.origin)
    natural, correct = flat.detach().unflatten(0, (len(y), -1)), None
    if predicting is family:
        nll, mean, correct = family.nll_mean_and_correct(natural, target, y)
    else:
        nll, mean = family.nll_and_mean(natural, target)
    rows = _row_weights(target, weight, natural)
    ensemble = _combined(natural, rows)
    ensemble_nll, ensemble_mean = family.nll_and_mean(ensemble, target)
    member_losses, ensemble_losses = _over_rows(nll, ensemble_nll, rows)
    lam = lam.to(natural) if isinstance(lam, Tensor) else lam
    losses = torch.lerp(member_losses.mean(1), ensemble_losses, lam)
    if predicting is None or not predicting.transforms_members:
        output = family.output(ensemble, target.origin)
    else:
        members = predicting.natural(outputs.detach()).unflatten(0, (len(y), -1))
        correct = predicting.correct(members, y)
        output = predicting.output(_combined(members, rows))
    if flat.requires_grad:
        gradient = _gradient(mean, ensemble_mean, target, lam, rows, gradient_scale)
        loss = _Sum.apply(flat, losses, gradient.view(flat.shape))
    else:
        loss = losses.sum()
    return JointTerms(
        loss,
        losses,
        ensemble_losses,
        member_losses,
        output.squeeze(1),
        correct,
        outputs.detach().unflatten(0, (len(y), -1)),
    )


def joint_loss(
    logits: Tensor,
    target: Tensor,
    lam: float,
    weight: Tensor | None = None,
    family: Family | None = None,
) -> Tensor:
    """Joint Training loss of an ensemble (Webb et al. 2020, eq. 4).

    ``lam * CE(softmax(mean_j z_j), y) + (1 - lam) * mean_j CE(softmax(z_j), y)``

    Parameters
    ----------
    logits : Tensor of shape (n_members, n_samples, n_classes)
        The members' outputs, of a floating dtype; what they mean is the family's
        business. Half precision is computed in float32. Fastest when the samples are
        contiguous in memory, as the vectorized modules of
        `sklearn_jointens.nn` put them out.
    target : Tensor of shape (n_samples,) or (n_samples, n_targets)
        The classes, 0 to n_classes - 1; or what else the family is of: numbers, or 0
        and 1 for each of several labels.
    lam : float in [0, 1]
        Where to train between independent members (0) and one end-to-end system (1).
    weight : Tensor of shape (n_samples,) or (n_members, n_samples), default=None
        Weights of the rows, in both terms; each member's are divided by their sum.
        When every member has weights of its own (a bootstrap), the ensemble of a row
        is the weighted mean of the members that see it, so that no member learns from
        a row of weight 0.
    family : Family, default=None
        The exponential family, see `family_of`; ``None`` is categorical on logits.

    Returns
    -------
    Tensor of shape ()
        The loss. Its gradient is the closed form
        ``(1/M) * [lam * (qbar - y) + (1 - lam) * (q_j - y)]``; there is no second
        derivative.

    Raises
    ------
    ValueError
        When `lam` is not in [0, 1], or the shape of `logits`, `target` or `weight` is
        not one of these.
    RuntimeError
        In the backward pass, when it is called with ``create_graph=True``.

    See Also
    --------
    diversity : What the ensemble gains over its mean member (eq. 5).

    References
    ----------
    A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
    Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import joint_loss
    >>> logits = torch.tensor([[[2.0, 0.0]], [[0.0, 1.0]]])  # 2 members, 1 sample
    >>> y = torch.tensor([0])
    >>> [round(joint_loss(logits, y, lam).item(), 4) for lam in (0.0, 0.5, 1.0)]
    [0.7201, 0.5971, 0.4741]
    """
    if not 0 <= lam <= 1:
        raise ValueError(
            "The 'lam' parameter of joint_loss must be a float in the range "
            f"[0.0, 1.0]. Got {lam!r} instead."
        )
    family = Categorical() if family is None else family
    if isinstance(family, Categorical) and logits.ndim != 3:
        raise ValueError(
            "The 'logits' parameter of joint_loss must have the shape (n_members, "
            f"n_samples, n_classes). Got {tuple(logits.shape)} instead."
        )
    n_members, n_samples = logits.shape[:2]
    shapes = family.target_shapes(n_samples, logits.shape[2:].numel())
    if target.shape not in shapes:
        raise ValueError(
            "The 'target' parameter of joint_loss must have the shape "
            f"{' or '.join(map(_in_words, sorted(shapes)))}. Got "
            f"{tuple(target.shape)} instead."
        )
    if weight is not None and weight.shape not in (target.shape[:1], logits.shape[:2]):
        raise ValueError(
            "The 'weight' parameter of joint_loss must have the shape (n_samples,) = "
            f"({n_samples},) or (n_members, n_samples) = ({n_members}, {n_samples}). "
            f"Got {tuple(weight.shape)} instead."
        )
    y, weight = target.unsqueeze(0), None if weight is None else weight.unsqueeze(0)
    return joint_terms(logits, y, lam, weight, family).loss


def _in_words(shape: tuple[int, ...]) -> str:
    names = "(n_samples,)" if len(shape) == 1 else "(n_samples, n_targets)"
    return f"{names} = {shape}"
