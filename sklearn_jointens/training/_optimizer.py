"""How the joint net runs the prototype's optimizer."""

from collections.abc import Mapping
from typing import Any

import torch
from skorch.callbacks import ParamMapper

from sklearn_jointens.training._callbacks import is_stock

# Options that say how a step is computed, one of which the prototype may have chosen.
_IMPLEMENTATIONS = ("foreach", "fused", "differentiable")


def can_fuse(net: Any, options: Mapping[str, Any]) -> bool:
    """Whether torch's fused kernel takes the optimizer's step.

    It computes the same numbers in one pass over each tensor, two to three times
    faster than torch's default on a CPU.

    Parameters
    ----------
    net : JointNet
        With its callbacks and its module.
    options : mapping of str to object
        What the optimizer is made with.

    Returns
    -------
    bool
        False where the prototype says itself how a step is computed.
    """
    if net.optimizer not in (torch.optim.Adam, torch.optim.AdamW, torch.optim.SGD):
        return False
    module = net.plain_module
    return (
        not any(name in options for name in _IMPLEMENTATIONS)
        and torch.device(net.device).type in ("cpu", "cuda")
        # Of stacked weights all learn in every step. Fused SGD fails where a weight
        # joins in that had no gradient before.
        and module.is_stacked
        and all(p.requires_grad and p.is_floating_point() for p in module.parameters())
        # Gradients of such embeddings are sparse.
        and not any(getattr(layer, "sparse", False) for layer in module.modules())
        and all(_leaves_gradients_alone(callback) for _, callback in net.callbacks_)
    )


def _leaves_gradients_alone(callback: Any) -> bool:
    # One of the user's own may freeze weights, as skorch's Freezer does, or exchange
    # gradients for others in another layout, which a fused step takes for the same.
    return is_stock(type(callback)) and not isinstance(callback, ParamMapper)
