"""Which way is the fastest, told from the members and not from a clock.

The limits are from measurements of training steps on a CPU, which
``examples/benchmarks/choose_vectorization.py`` repeats. Small members cost the calls of
their kernels, which one kernel for all members saves. Large ones cost arithmetic, and
that is done as fast for one member as for all, or faster: what one member needs fits
the processor's cache, and its convolutions run in kernels made for channels that are
last in memory, where a convolution of many groups has none.
"""

from typing import cast

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._copying import copy_of, named_tensors
from sklearn_jointens.nn._loop import IMAGE_CONVOLUTIONS

# A prime, so that it is less likely to be the size of another axis by chance.
_N_ROWS = 7

# Multiplications that a member does for one row, up to which members run together.
_CONVOLUTION_LIMIT = 300_000
_PRODUCT_LIMIT = 32_000


def why_structural_is_slower(member: nn.Module, example: Tensor | None) -> str | None:
    """Why a loop is faster than one grouped convolution for all, or None.

    Matrix products are faster together at any size.
    """
    if not _on_cpu(member) or not _convolves(member):
        return None
    if example is None:
        return "how much convolutions cost on a CPU is not known without an example"
    work = multiplications_per_row(member, example)
    if work <= _CONVOLUTION_LIMIT:
        return None
    return f"fastest on a CPU for convolutions of {_in_words(work)}"


def why_vmap_is_slower(member: nn.Module, example: Tensor) -> str | None:
    """Why a loop is faster than vmap, or None."""
    if not _on_cpu(member):
        return None
    work = multiplications_per_row(member, example)
    if work <= (_CONVOLUTION_LIMIT if _convolves(member) else _PRODUCT_LIMIT):
        return None
    return f"faster than vmap on a CPU for {_in_words(work)}"


def prefers_channels_last(member: nn.Module, example: Tensor) -> bool:
    """Whether a member convolves images on a CPU."""
    convolves = any(isinstance(m, IMAGE_CONVOLUTIONS) for m in member.modules())
    return example.dim() == 4 and _on_cpu(member) and convolves


def multiplications_per_row(member: nn.Module, example: Tensor) -> int:
    """Multiplications in the linear layers and convolutions of a forward pass.

    Parameters
    ----------
    member : Module
        Left as it is.
    example : Tensor of shape (B, ...)
        Rows of what it takes.

    Returns
    -------
    int
        For one row.
    """
    counts = []

    def count(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        # Every number that comes out, or that goes into a transposed convolution,
        # meets one kernel.
        transposed = getattr(layer, "transposed", False)
        numbers = inputs[0] if transposed else output
        # A parametrized weight is an attribute, and no parameter.
        weight = cast(Tensor, layer.weight)
        counts.append(numbers.numel() * weight[0].numel())

    member = copy_of(member).train()
    for module in member.modules():
        if isinstance(module, (nn.Linear, nn.modules.conv._ConvNd)):
            module.register_forward_hook(count)
    rows = few_rows(example, member)
    devices = [rows.device] if rows.is_cuda else []
    with torch.random.fork_rng(devices), torch.no_grad():
        member(rows)
    return sum(counts) // len(rows)


def few_rows(example: Tensor, member: nn.Module) -> Tensor:
    """At most 7 rows of an example, and at least 2, where the member is."""
    x = example[:_N_ROWS].detach()
    if len(x) == 1:
        # Batch normalization needs two rows.
        x = torch.cat([x, x])
    tensors = named_tensors(member).values()
    return x.to(next(iter(tensors)).device) if tensors else x


def _on_cpu(member: nn.Module) -> bool:
    return all(t.device.type == "cpu" for t in named_tensors(member).values())


def _convolves(member: nn.Module) -> bool:
    return any(isinstance(m, nn.modules.conv._ConvNd) for m in member.modules())


def _in_words(work: int) -> str:
    return f"{work / 1e6:.2g} million multiplications a row"
