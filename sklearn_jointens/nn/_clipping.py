"""Clipping the norm of gradients, for each member by itself."""

from collections.abc import Sequence

import torch
from torch import Tensor


def clip_stacked(
    gradients: Sequence[Tensor], max_norm: float, norm_type: float
) -> None:
    """Scale gradients in place, each member's as ``torch.nn.utils.clip_grad_norm_``.

    Parameters
    ----------
    gradients : sequence of Tensor of shape (M, ...)
    max_norm : float
        What a member's norm over all gradients is at most, afterwards.
    norm_type : float
        Order of the norm; may be infinity.
    """
    if not gradients:
        return
    # Not flatten: of numbers there is one axis, that of the members.
    rows = [gradient.reshape(len(gradient), -1) for gradient in gradients]
    norms = [torch.linalg.vector_norm(each, norm_type, 1) for each in rows]
    total = torch.linalg.vector_norm(torch.stack(norms), norm_type, 0)
    share = (max_norm / (total + 1e-6)).clamp(max=1.0)
    for gradient in gradients:
        gradient.mul_(share.view(-1, *[1] * (gradient.ndim - 1)))
