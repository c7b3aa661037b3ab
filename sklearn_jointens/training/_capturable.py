"""Whether the training steps of a net can be captured: what a replay would leave out.

A replay repeats what the step launched on the device. Whatever else a step does, in a
prototype's own methods, its callbacks, hooks or optimizer, would not happen again.
"""

from typing import Any

import torch
from skorch.callbacks import Callback
from torch import Tensor, nn

from sklearn_jointens.training._callbacks import MemberNormClipping, is_stock
from sklearn_jointens.training._seams import overrides

# Optimizers that keep all that changes from step to step in tensors.
_CAPTURABLE_OPTIMIZERS = {
    torch.optim.Adadelta,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.SGD,
}

# What a step is made of in skorch; a prototype may have its own.
_STEP_METHODS = (
    "_set_training",
    "_step_optimizer",
    "_zero_grad_optimizer",
    "get_train_step_accumulator",
    "infer",
    "notify",
    "on_grad_computed",
    "train_step",
    "train_step_single",
)

# Ways of compiling that do not make CUDA graphs of their own.
_COMPILE_MODES = {None, "default", "max-autotune-no-cudagraphs"}
_COMPILE_BACKENDS = {"inductor", "aot_eager", "eager"}


def why_stock(net: Any) -> str | None:
    """Why the steps of this net cannot be captured, or None.

    Parameters
    ----------
    net : JointNet

    Returns
    -------
    str or None
    """
    prototype_class = type(net).prototype_class
    for name in _STEP_METHODS:
        if overrides(net, name):
            return f"{prototype_class.__name__} has a '{name}' of its own"
    if net.prediction_family_.transforms_members:
        return "'predict_nonlinearity' is a function of the user's own"
    for name, callback in net.callbacks_:
        looks = type(callback).on_grad_computed is not Callback.on_grad_computed
        if looks and type(callback) is not MemberNormClipping:
            return f"the callback '{name}' takes part in every step"
    optimizer = net.optimizer_
    if type(optimizer) not in _CAPTURABLE_OPTIMIZERS:
        return f"{type(optimizer).__name__} cannot be captured"
    if optimizer._optimizer_step_pre_hooks or optimizer._optimizer_step_post_hooks:
        return "the optimizer has hooks"
    for group in optimizer.param_groups:
        for name, value in group.items():
            if isinstance(value, Tensor):
                return f"the optimizer's '{name}' is a tensor"
    if any(map(_has_hooks, net.plain_module.modules())):
        return "the module has hooks"
    return _why_not_compiled(net) if net.compile else None


def _has_hooks(module: nn.Module) -> bool:
    of_parameters = (
        hooks
        for parameter in module.parameters(recurse=False)
        for hooks in (
            parameter._backward_hooks,
            parameter._post_accumulate_grad_hooks,
        )
    )
    return any(
        (
            module._forward_hooks,
            module._forward_pre_hooks,
            module._backward_hooks,
            module._backward_pre_hooks,
            *of_parameters,
        )
    )


def _why_not_compiled(net: Any) -> str | None:
    options = net.get_params_for("compile")
    backend = options.get("backend", "inductor")
    if (
        options.get("mode") not in _COMPILE_MODES
        or backend not in _COMPILE_BACKENDS
        or options.get("options")
    ):
        return "the module is compiled in a way that may have graphs of its own"
    return None


def watches_batches(net: Any) -> bool:
    """Whether code that is neither skorch's nor ours runs before or after a step.

    Parameters
    ----------
    net : JointNet

    Returns
    -------
    bool
    """
    observers = [type(net).prototype_class]
    observers += [type(callback) for _, callback in net.callbacks_]
    methods = (
        getattr(observer, name)
        for observer in observers
        for name in ("on_batch_begin", "on_batch_end")
    )
    return not all(map(is_stock, methods))
