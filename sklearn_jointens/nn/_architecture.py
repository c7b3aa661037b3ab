"""Whether M modules are alike enough to be vectorized."""

import functools
from collections import deque
from collections.abc import Sequence
from types import BuiltinFunctionType, FunctionType
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.parameter import is_lazy

from sklearn_jointens.nn._copying import named_tensors


def check_members(modules: Sequence[nn.Module]) -> None:
    """Raise ValueError unless the modules are of one architecture.

    Parameters
    ----------
    modules : sequence of Module
        The members.

    Raises
    ------
    ValueError
        Names the first thing in which a module differs from the first module.
    """
    if not modules or not all(isinstance(module, nn.Module) for module in modules):
        kinds = [type(module).__name__ for module in modules]
        raise ValueError(
            "The 'modules' parameter of vectorize_members must be at least one "
            f"torch module. Got {kinds} instead."
        )
    expected = _architecture(modules[0])
    for number, module in enumerate(modules):
        found = _architecture(module)
        if found == expected:
            continue
        names = [*expected, *found]
        name = next(n for n in names if expected.get(n) != found.get(n))
        raise ValueError(
            "The 'modules' parameter of vectorize_members must be modules of one "
            f"architecture. Got {name!r} = {found.get(name, 'missing')} in module "
            f"{number} and {expected.get(name, 'missing')} in module 0 instead."
        )


def why_not_stackable(modules: Sequence[nn.Module]) -> str | None:
    """Why the members' tensors cannot share one stacked tensor and one forward.

    Parameters
    ----------
    modules : sequence of Module
        The members, of one architecture.

    Returns
    -------
    reason : str or None
        None if they can.
    """
    tensors = named_tensors(modules[0])
    names: dict[int, str] = {}
    for name, tensor in tensors.items():
        if id(tensor) in names:
            return f"'{name}' is tied to '{names[id(tensor)]}'"
        names[id(tensor)] = name
        if tensor._backward_hooks or tensor._post_accumulate_grad_hooks:
            return f"'{name}' has hooks"
    for path, part in modules[0].named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            return f"'{path}' is a scripted module"
    expected = plain_settings(modules[0])
    for module in modules[1:]:
        found = plain_settings(module)
        if found != expected:
            differing = {
                key
                for key in {*expected, *found}
                if expected.get(key, _MISSING) != found.get(key, _MISSING)
            }
            return f"members differ in '{min(differing)}'"
    return None


_MISSING = object()
_PLAIN = {
    *(bool, int, float, str, type(None)),
    *(type, torch.dtype, BuiltinFunctionType),
}
# Where a module keeps its tensors, submodules and hooks.
_OF_TORCH = vars(nn.Module()).keys() - {"training"}


def _architecture(module: nn.Module) -> dict[str, str]:
    """Types of all submodules, and shape, dtype and device of all tensors, by name."""
    described = {
        name or "the class": type(part).__qualname__
        for name, part in module.named_modules()
    }
    for name, tensor in named_tensors(module).items():
        if is_lazy(tensor):
            raise ValueError(
                "The 'modules' parameter of vectorize_members must be modules whose "
                f"lazy layers have seen data. Got {name!r} without a shape instead."
            )
        shape, dtype, device = tuple(tensor.shape), tensor.dtype, tensor.device
        described[name] = f"{shape} {dtype} {device}"
    return described


def plain_settings(module: nn.Module) -> dict[str, Any]:
    """Plain attributes of all submodules, and what requires gradients, by name.

    Functions count as plain too; two are alike if they have the same code and what it
    refers to is plain and alike.
    """
    settings = {
        f"{path}.{name}".removeprefix("."): plain
        for path, part in module.named_modules()
        for name, value in vars(part).items()
        if name not in _OF_TORCH and (plain := _plain(value)) is not _MISSING
    }
    for name, parameter in module.named_parameters():
        settings[f"{name}.requires_grad"] = parameter.requires_grad
    return settings


def _plain(value: Any) -> Any:
    """A value that can be compared with that of another member, or `_MISSING`."""
    if type(value) in _PLAIN:
        return value
    if isinstance(value, tuple | list | deque):
        return tuple(_plain(item) for item in value)
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, set | frozenset):
        return frozenset(map(_plain, value))
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if isinstance(value, FunctionType):
        cells = [cell.cell_contents for cell in value.__closure__ or ()]
        return value.__code__, _plain(value.__defaults__), _plain(cells)
    if isinstance(value, functools.partial):
        return tuple(
            _plain(part)
            for part in (value.func, value.args, sorted(value.keywords.items()))
        )
    return _MISSING
