"""Blocks that keep an estimator whole, and say what went wrong."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from sklearn_jointens.training import interrupt


@contextmanager
def all_or_nothing(estimator: Any) -> Iterator[None]:
    """Put all attributes back when a fit fails: bad input loses nothing."""
    before = vars(estimator).copy()
    try:
        yield
    except BaseException:
        # In one step, which Ctrl-C cannot cut in two.
        estimator.__dict__ = before
        raise


@contextmanager
def unless_cut_short(net: Any) -> Iterator[None]:
    """Raise Ctrl-C instead of what fails because it has cut the training short."""
    try:
        yield
    except Exception:
        if net.has_ended_ is False:
            interrupt()
        raise


@contextmanager
def out_of_memory_explained(n_estimators: int) -> Iterator[None]:
    """Say what takes CUDA's memory, where it does not suffice."""
    try:
        yield
    except torch.cuda.OutOfMemoryError as error:
        raise RuntimeError(
            f"CUDA ran out of memory with n_estimators={n_estimators}. Lower it or the "
            "member's batch_size, or use device='cpu'."
        ) from error
