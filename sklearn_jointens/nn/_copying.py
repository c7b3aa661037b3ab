"""The tensors of a module by name, and copies of modules with other tensors."""

import copy
from collections.abc import Mapping, Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of a module by name, tied ones under each name."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def copy_module(module: Module, tensors: Mapping[str, Tensor]) -> Module:
    """Deep copy of a module with every parameter and buffer exchanged.

    Parameters
    ----------
    module : Module
        The module to copy; it is left as it is.
    tensors : mapping of str to Tensor
        For each name in ``named_tensors(module)`` the tensor the copy holds instead,
        of any shape.

    Returns
    -------
    copied : Module
    """
    # The memo tells deepcopy what each tensor became, so the old values are never
    # copied and every reference to a tensor, wherever it is kept, follows.
    memo = {id(old): tensors[name] for name, old in named_tensors(module).items()}
    # What a hook computes from parameters before each pass, as for pruning, is not
    # copied by deepcopy, and computed anew anyhow.
    memo |= {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    copied = copy.deepcopy(module, memo)
    for path, part in copied.named_modules():
        if isinstance(part, torch.jit.ScriptModule):  # which makes its own tensors
            for name in named_tensors(part):
                if "." not in name:
                    setattr(part, name, tensors[f"{path}.{name}".removeprefix(".")])
    for name, old in named_tensors(module).items():
        for hooks in ("_backward_hooks", "_post_accumulate_grad_hooks"):
            if getattr(old, hooks):
                setattr(tensors[name], hooks, copy.deepcopy(getattr(old, hooks), memo))
    return copied


def like(original: Tensor, values: Tensor) -> Tensor:
    """Make `values` a parameter if and as `original` is one, a buffer otherwise."""
    values = values.detach()
    if isinstance(original, nn.Parameter):
        return nn.Parameter(values, requires_grad=original.requires_grad)
    return values


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Copy M tensors of one shape into one of shape (M, ...)."""
    return like(tensors[0], torch.stack([tensor.detach() for tensor in tensors]))


def stack_tensors(modules: Sequence[nn.Module]) -> dict[str, Tensor]:
    """The tensors of M modules by name, each as one of shape (M, ...)."""
    each = [named_tensors(module) for module in modules]
    return {name: stack([one[name] for one in each]) for name in each[0]}


def without_numbers(module: Module) -> Module:
    """Copy a module with tensors on the "meta" device, which take no memory."""
    tensors = {
        name: like(tensor, torch.empty_like(tensor, device="meta"))
        for name, tensor in named_tensors(module).items()
    }
    return copy_module(module, tensors)


def fill(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Give each parameter and buffer of a module the numbers of its namesake."""
    with torch.no_grad():
        for name, tensor in named_tensors(module).items():
            tensor.copy_(tensors[name])


def copy_modes(module: nn.Module, to: nn.Module) -> None:
    """Let each part train or not, as its namesake does."""
    parts = dict(module.named_modules())
    for path, part in to.named_modules():
        part.training = parts[path].training


def copy_of(module: Module) -> Module:
    """Copy a module with its weights, its ties among them, and without gradients."""
    copies: dict[int, Tensor] = {}
    tensors = {}
    for name, tensor in named_tensors(module).items():
        if id(tensor) not in copies:
            copies[id(tensor)] = like(tensor, tensor.detach().clone())
        tensors[name] = copies[id(tensor)]
    return copy_module(module, tensors)
