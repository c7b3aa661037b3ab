"""Lower precision while training: TensorFloat-32, or bfloat16 in the forward pass."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch


def _tf32_switches() -> list[tuple[Any, str, Any]]:
    """Owner, name and value of each global setting that allows TensorFloat-32."""
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    if hasattr(matmul, "fp32_precision"):
        # Once this is set, torch refuses to read the older names until it is back.
        parts = (matmul, cudnn.conv, cudnn.rnn)
        return [(part, "fp32_precision", "tf32") for part in parts]
    return [(matmul, "allow_tf32", True), (cudnn, "allow_tf32", True)]


@contextmanager
def tf32_allowed() -> Iterator[None]:
    """Products and convolutions of float32 on CUDA in TensorFloat-32, for a block."""
    switches = _tf32_switches()
    before = [getattr(owner, name) for owner, name, _ in switches]
    try:
        for owner, name, value in switches:
            setattr(owner, name, value)
        yield
    finally:
        for (owner, name, _), value in zip(switches, before, strict=True):
            setattr(owner, name, value)


def training_precision(precision: str | None) -> AbstractContextManager[None]:
    """What a `precision` sets for an epoch of training.

    Parameters
    ----------
    precision : {"tf32", "bf16"} or None

    Returns
    -------
    context manager
    """
    return tf32_allowed() if precision == "tf32" else nullcontext()


def forward_precision(precision: str | None, device: Any) -> AbstractContextManager:
    """What a `precision` sets for a forward pass in training, and nothing after it.

    Parameters
    ----------
    precision : {"tf32", "bf16"} or None
    device : str or torch.device

    Returns
    -------
    context manager
    """
    if precision != "bf16":
        return nullcontext()
    # Each weight is cast once a pass, so there is nothing to keep; and a weight that
    # was cast before a step is captured would stay as it was in every replay.
    return torch.autocast(
        torch.device(device).type, torch.bfloat16, cache_enabled=False
    )
