"""The joint loss and its gradient in closed form.

Webb et al. (2020), "To Ensemble or Not Ensemble: When does End-To-End Training Fail?",
eq. 4: ``L = lam * nll(zbar, y) + (1 - lam) * mean_j nll(z_j, y)`` with ``zbar`` the
mean of the members' natural parameters, whose gradient is

    dL/dz_j = (1/M) * [lam * (mean(zbar) - y) + (1 - lam) * (mean(z_j) - y)].
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from sklearn_jointens.losses._families import Categorical, Family, Target


class JointTerms(NamedTuple):
    """The joint loss and the parts it is made of.

    Attributes
    ----------
    loss : Tensor of shape ()
        Eq. 4; the only part that carries a gradient.
    ensemble_loss : Tensor of shape ()
        The ensemble's mean negative log-likelihood.
    member_losses : Tensor of shape (n_members,)
        Each member's mean negative log-likelihood.
    natural : Tensor of shape (n_outputs, n_samples)
        The ensemble's natural parameters.
    """

    loss: Tensor
    ensemble_loss: Tensor
    member_losses: Tensor
    natural: Tensor

    @property
    def diversity(self) -> Tensor:
        """Mean member loss less ensemble loss (eq. 5), shape ()."""
        return self.member_losses.mean() - self.ensemble_loss


def row_weights(
    target: Target, weight: Tensor | None, natural: Tensor
) -> Tensor | None:
    """Weights that make a sum over rows the criterion's mean; None is 1/n_samples.

    Each member's weights are divided by their own sum, so that a member trains as it
    would alone with these weights. The rows are the last axis.
    """
    if weight is None and target.weight is None and target.normalizer is None:
        return None
    rows = natural.new_ones(natural.shape[-1]) if weight is None else weight.to(natural)
    numerator = rows if target.weight is None else rows * target.weight
    divisor = rows if target.normalizer is None else rows * target.normalizer
    tiny = torch.finfo(natural.dtype).tiny
    return numerator / divisor.sum(-1, keepdim=True).clamp_min(tiny)


def mean_natural(natural: Tensor, own: Tensor | None) -> Tensor:
    """Mean over the members of (..., n_members, n_outputs, n_samples).

    Where each has weights of its own, (..., n_members, n_samples), over those that see
    the row.
    """
    if own is None:
        return natural.mean(-3)
    total = own.sum(-2, keepdim=True)
    share = own / torch.where(total > 0, total, 1)
    # A row that no member sees has no part in the loss; its ensemble is the plain mean.
    share = torch.where(total > 0, share, 1 / own.shape[-2])
    # Not einsum: as a matrix product, autocast would run it in half precision.
    return (natural * share.unsqueeze(-2)).sum(-3)


def nll_and_mean(
    natural: Tensor, family: Family, target: Target
) -> tuple[Tensor, Tensor]:
    """Negative log-likelihood (..., n_samples), and the scaled mean."""
    bulk, rest, mean = family.moments(natural)
    if target.scale is not None:
        bulk, rest = bulk * target.scale, rest * target.scale
        mean = mean * target.scale.unsqueeze(-2)
    bulk = bulk - target.inner(natural)
    return bulk + rest, mean


def saved_gradient(ctx: Any, grad_loss: Tensor) -> Tensor:
    """The gradient that the forward pass saved, times that of the loss."""
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
    return gradient


class _JointLoss(torch.autograd.Function):
    """Eq. 4 with the closed-form gradient, computed once, in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        natural: Tensor,
        family: Family,
        target: Target,
        lam: float,
        weight: Tensor | None,
        gradient_scale: float,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        n_members, _, n_samples = natural.shape
        rows = row_weights(target, weight, natural)
        member_nll, mean = nll_and_mean(natural, family, target)
        own_rows = rows if rows is not None and rows.ndim == 2 else None
        ensemble = mean_natural(natural, own_rows)
        ensemble_nll, ensemble_mean = nll_and_mean(ensemble[None], family, target)
        if rows is None:
            member_losses, ensemble_loss = member_nll.mean(1), ensemble_nll.mean()
        else:
            ensemble_rows = rows.mean(0) if rows.ndim == 2 else rows
            member_losses = (member_nll * rows).sum(1)
            ensemble_loss = (ensemble_nll[0] * ensemble_rows).sum()
        loss = torch.lerp(member_losses.mean(), ensemble_loss, lam)

        if ctx.needs_input_grad[0]:
            # scale * (lam * mean(zbar) + (1 - lam) * mean(z_j)) - statistic, the shared
            # part first, so that each member costs one pass or two in place.
            factor = gradient_scale / n_members
            if rows is None:
                factor /= n_samples
            shared = ensemble_mean[0].mul_(factor * lam)
            shared = target.subtract_from(shared, factor)
            own = factor * (1 - lam)
            if rows is not None and rows.ndim == 1:
                gradient = torch.addcmul(shared * rows, mean, rows, value=own, out=mean)
            else:
                gradient = torch.add(shared, mean, alpha=own, out=mean)
                if rows is not None:
                    gradient.mul_(rows[:, None, :])
            ctx.save_for_backward(gradient)
        ctx.mark_non_differentiable(ensemble_loss, member_losses, ensemble)
        return loss, ensemble_loss, member_losses, ensemble

    @staticmethod
    def backward(ctx: Any, grad_loss: Tensor, *_: Tensor) -> tuple[Any, ...]:
        return saved_gradient(ctx, grad_loss), None, None, None, None, None


def joint_terms(
    natural: Tensor,
    y: Tensor,
    lam: float,
    weight: Tensor | None = None,
    family: Family | None = None,
    gradient_scale: float = 1.0,
) -> JointTerms:
    """Joint loss of natural parameters, with the parts it is made of.

    Parameters
    ----------
    natural : Tensor of shape (n_members, n_outputs, n_samples)
        ``family.natural(outputs)``.
    y : Tensor of shape (n_samples,)
        Encoded targets.
    lam : float in [0, 1]
        0: independent members; 1: one end-to-end system.
    weight : Tensor of shape (n_samples,) or (n_members, n_samples), or None
        Row weights, the same for all members or each member's own.
    family : Family or None, default=None
        ``None`` is `Categorical()`.
    gradient_scale : float, default=1.0
        Factor of the gradient, and of nothing else. The number of members gives each
        member the gradient it would have alone.

    Returns
    -------
    JointTerms
    """
    family = Categorical() if family is None else family
    target = family.target(y, natural.shape[1], natural.dtype)
    terms = _JointLoss.apply(natural, family, target, lam, weight, gradient_scale)
    return JointTerms(*terms)


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
    target : Tensor of shape (n_samples,), dtype int64
        The classes, 0 to n_classes - 1.
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
    if target.shape != (n_samples,):
        raise ValueError(
            "The 'target' parameter of joint_loss must have the shape (n_samples,) = "
            f"({n_samples},). Got {tuple(target.shape)} instead."
        )
    if weight is not None and weight.shape not in (target.shape, logits.shape[:2]):
        raise ValueError(
            "The 'weight' parameter of joint_loss must have the shape (n_samples,) = "
            f"({n_samples},) or (n_members, n_samples) = ({n_members}, {n_samples}). "
            f"Got {tuple(weight.shape)} instead."
        )
    return joint_terms(family.natural(logits), target, lam, weight, family).loss
