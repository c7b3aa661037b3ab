"""Whether a vectorized module does what its members do, compared on a few rows."""

import copy
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._architecture import plain_settings
from sklearn_jointens.nn._copying import named_tensors
from sklearn_jointens.nn._cost import few_rows, multiplications_per_row
from sklearn_jointens.nn._loop import LoopModule, stack_outputs
from sklearn_jointens.nn._module import VectorizedModule
from sklearn_jointens.nn._random_state import host_random_state
from sklearn_jointens.nn._way import CannotVectorize

# Multiplications for one row beyond which so many rows and members would take seconds.
_LARGE = 2**22
_TOLERANCES = {
    torch.float64: 1e-9,
    torch.float32: 1e-4,
    torch.float16: 5e-2,
    torch.bfloat16: 5e-2,
}
_RANDOM_LAYERS = (nn.modules.dropout._DropoutNd, nn.RReLU, nn.RNNBase)


def check_vectorized(
    vectorized: VectorizedModule, modules: Sequence[nn.Module], example: Tensor
) -> float | None:
    """Compare outputs, gradients and buffers with those of the plain members.

    The first, the middle and the last member are compared, in evaluation mode (outputs)
    and in training mode with random layers off, on at most 7 rows; the first and the
    last on 2 rows where members are large. All is done on copies, in double precision
    if the member can be run in it: there rounding neither hides a difference nor makes
    one.

    Parameters
    ----------
    vectorized : VectorizedModule
        Made from `modules`.
    modules : sequence of Module
        The M members.
    example : Tensor of shape (B, ...)
        What the members take.

    Returns
    -------
    max_error : float or None
        The largest deviation relative to the largest number of what was compared, or
        to 1 where that is larger. None if the outputs are random in both modes.

    Raises
    ------
    CannotVectorize
        If the vectorized module fails or deviates.
    """
    last = len(modules) - 1
    x = few_rows(example, modules[0])
    if multiplications_per_row(modules[0], x) > _LARGE:
        indices, x = sorted({0, last}), x[:2]
    else:
        indices = sorted({0, len(modules) // 2, last})
    selected = vectorized.select(indices)
    plain = LoopModule.of([modules[index] for index in indices])
    devices = [x.device] if x.is_cuda else []
    # Outside of a caller's no_grad, and with the caller's random state kept.
    with torch.random.fork_rng(devices), torch.enable_grad():
        selected, plain, x = _in_double_precision(selected, plain, x)
        errors = []
        for training in (False, True):
            for module in (selected, plain):
                _set_mode(module, training)
            if _is_random(plain, x):
                _results_if_it_runs(selected, x)
            else:
                errors.append(_compare(selected, plain, x, training))
        if any(map(_is_random_layer, selected.modules())):
            _results_if_it_runs(selected.train(), x)
    return max(errors, default=None)


def _in_double_precision(
    selected: VectorizedModule, plain: LoopModule, x: Tensor
) -> tuple[VectorizedModule, LoopModule, Tensor]:
    double_x = x.double() if x.is_floating_point() else x
    try:
        double = copy.deepcopy(plain).double()
        double.member(0).eval()(double_x.clone())
    except Exception:
        # A member that asks for its own precision, or a device without doubles.
        return selected, plain, x
    return selected.double(), double, double_x


def _set_mode(module: nn.Module, training: bool) -> None:
    module.train(training)
    for layer in module.modules():
        if _is_random_layer(layer):
            layer.eval()


def _is_random_layer(layer: nn.Module) -> bool:
    return isinstance(layer, _RANDOM_LAYERS)


def _is_random(plain: LoopModule, x: Tensor) -> bool:
    """Whether a member draws random numbers outside of the layers that are off."""
    _, *before = host_random_state()
    settings = plain_settings(plain.members[0])
    outputs = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        member = plain.member(0)
        with torch.no_grad():
            outputs.append([part for _, part in _parts(member(x.clone()))])
        if plain_settings(member) != settings:
            raise CannotVectorize(
                "its forward changes the module otherwise than in its tensors"
            )
    _, *after = host_random_state()
    if after != before:
        raise CannotVectorize("its forward draws random numbers for each member apart")
    return any(not torch.equal(a, b) for a, b in zip(*outputs, strict=True))


def _compare(
    selected: VectorizedModule, plain: LoopModule, x: Tensor, training: bool
) -> float:
    expected, found = _results(plain, x), _results_if_it_runs(selected, x)
    mode = "training" if training else "evaluation"
    if found.keys() != expected.keys():
        raise CannotVectorize(f"its outputs differ in kind in {mode} mode")
    largest = 0.0
    for name, tensor in expected.items():
        deviation = _deviation(found[name], tensor)
        if not deviation <= _TOLERANCES.get(tensor.dtype, 0.0):
            raise CannotVectorize(
                f"{name} deviates by {deviation:.1e} from the plain members in "
                f"{mode} mode"
            )
        largest = max(largest, deviation)
    return largest


def _results_if_it_runs(module: VectorizedModule, x: Tensor) -> dict[str, Tensor]:
    try:
        return _results(module, x)
    except Exception as error:
        message = str(error).strip().split("\n")[0]
        raise CannotVectorize(
            f"it fails with {type(error).__name__}: {message}"
        ) from error


def _results(module: VectorizedModule, x: Tensor) -> dict[str, Tensor]:
    """Outputs, and buffers and in training gradients after them, members first."""
    module = copy.deepcopy(module)
    with torch.set_grad_enabled(module.training):
        results = dict(_parts(module(x.clone())))
    generator = torch.Generator().manual_seed(0)
    total: Any = 0.0
    for output in results.values():
        if output.requires_grad:
            weights = torch.randn(output.shape, generator=generator)
            total = total + (output * weights.to(output)).sum()
    if isinstance(total, Tensor):
        total.backward()
    tensors = [named_tensors(tree) for tree in module._trees]
    states = [{name: _state(t) for name, t in one.items()} for one in tensors]
    state = states[0] if module.is_stacked else stack_outputs(states)
    results.update((f"the gradient or buffer '{name}'", t) for name, t in state.items())
    return results


def _state(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, nn.Parameter):
        return tensor
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _parts(outputs: Any, name: str = "the output") -> Iterator[tuple[str, Tensor]]:
    """The tensors within outputs, with a name for each."""
    if isinstance(outputs, Tensor):
        yield name, outputs
        return
    items = outputs.items() if isinstance(outputs, dict) else enumerate(outputs)
    for key, part in items:
        yield from _parts(part, f"{name}[{key!r}]")


def _deviation(found: Tensor, expected: Tensor) -> float:
    """Largest difference relative to the largest expected number, or to 1."""
    if found.shape != expected.shape or found.dtype != expected.dtype:
        return math.inf
    if expected.numel() == 0:
        return 0.0
    a, b = found.detach().double(), expected.detach().double()
    same = (a == b) | (a.isnan() & b.isnan())
    difference = torch.where(same, 0.0, (a - b).abs()).max().item()
    scale = b[b.isfinite()].abs().max().item() if b.isfinite().any() else 1.0
    return difference / max(1.0, scale)
