"""What the families of numbers share."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from sklearn_jointens.losses._families._base import Family, batch_innermost
from sklearn_jointens.losses._target import Target

# Deviations from the mean that are no more than its rounding.
_ROUNDING = 1e-12


class Numbers(Family):
    """Base of the families of numbers; a row's loss is the mean over its outputs.

    Outputs are measured from the target. That changes natural parameters of all members
    in the same affine way, so that it commutes with averaging; and no digits are lost
    where members lie close together and far from 0.
    """

    # Makes predictions of what a network puts out; None is the family's own way.
    nonlinearity: Callable[[Tensor], Tensor] | None = None

    # For the message.
    what_is_put_out = "a number for each target"

    def natural(self, output: Tensor, origin: Tensor | None = None) -> Tensor:
        natural = batch_innermost(output.reshape(*output.shape[:2], -1))
        if origin is None:
            return natural
        return (natural.unflatten(0, (len(origin), -1)) - origin).flatten(0, 1)

    def output(self, natural: Tensor, origin: Tensor | None = None) -> Tensor:
        return (natural if origin is None else natural + origin).transpose(-1, -2)

    def target(self, y: Tensor, n_outputs: int, dtype: torch.dtype) -> Target:
        return Target(origin=outputs_first(y, dtype))

    def means(self, natural: Tensor) -> Tensor:
        """The family's means, (..., n_outputs, n_samples)."""
        return natural

    def predicted(self, natural: Tensor) -> Tensor:
        if self.nonlinearity is None:
            return self.means(natural).transpose(-1, -2)
        outputs = self.output(natural)
        if outputs.ndim == 2:
            return self.nonlinearity(outputs).reshape(len(outputs), -1)
        return torch.stack([self.predicted(each) for each in natural])

    def with_nonlinearity(
        self,
        nonlinearity: Callable[[Tensor], Tensor] | None,
        threshold: float | None = None,
    ) -> Family:
        if nonlinearity is None:
            return self
        family = copy.copy(self)
        family.nonlinearity = nonlinearity
        return family

    def target_shapes(self, n_samples: int, n_raw: int) -> set[tuple[int, ...]]:
        n_outputs = n_raw // self.n_raw(1)
        shapes: set[tuple[int, ...]] = {(n_samples, n_outputs)}
        return shapes | {(n_samples,)} if n_outputs == 1 else shapes

    def check_output(
        self, output: Tensor, n_samples: int, n_outputs: int
    ) -> str | None:
        n_raw = self.n_raw(n_outputs)
        wrong = _check_shape(output, n_samples, n_raw, self.what_is_put_out)
        if wrong is None and self.nonlinearity is not None:
            numbers = self.nonlinearity(output.detach())
            wrong = _check_shape(numbers, n_samples, n_outputs)
        return wrong

    def scaling(self, y: Tensor, weight: Tensor | None = None) -> tuple[Tensor, Tensor]:
        mean, deviation = mean_and_deviation(y, weight)
        is_constant = deviation <= _ROUNDING * mean.abs()
        return mean, deviation.masked_fill(is_constant, 1)


def outputs_first(y: Tensor, dtype: torch.dtype) -> Tensor:
    """Targets as (n_groups, n_members=1, n_outputs, n_samples)."""
    y = y.to(dtype)
    y = y.unsqueeze(1) if y.ndim == 2 else y.transpose(1, 2).contiguous()
    return y.unsqueeze(1)


def mean_and_deviation(y: Tensor, weight: Tensor | None) -> tuple[Tensor, Tensor]:
    """Weighted mean and standard deviation of each output, in float64."""
    y = y.double().reshape(len(y), -1)
    share = torch.ones_like(y[:, 0]) if weight is None else weight.to(y)
    share = share / share.sum()
    mean = share @ y
    distance = (y - mean) * (share > 0).unsqueeze(1)
    # Squares of numbers of any size, which neither overflow nor vanish.
    largest = distance.abs().amax(0)
    unit = largest.masked_fill(largest == 0, 1)
    return mean, unit * (share @ (distance / unit).square()).sqrt()


def _check_shape(
    output: Any, n_samples: int, n_raw: int, what: str = Numbers.what_is_put_out
) -> str | None:
    shape = getattr(output, "shape", None)
    if shape == (n_samples, n_raw) or (n_raw == 1 and shape == (n_samples,)):
        return None
    if n_raw == 1:
        return (
            "one number a row, shape (n_samples,) or (n_samples, 1) with n_samples="
            f"{n_samples}"
        )
    return f"outputs of shape (n_samples, {n_raw}) = ({n_samples}, {n_raw}), {what}"
