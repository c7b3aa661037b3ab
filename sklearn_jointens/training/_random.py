"""Randomness that belongs to one fit and leaves no trace outside it."""

import os
import random
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

# The generators belong to the whole process: fits in several threads take turns, or
# each would draw from, and put back, the state of another.
_ONE_AT_A_TIME = threading.RLock()


def _renew_lock() -> None:
    """Free a child process from a thread of its parent, which is not there to leave.

    The generators stay as they were found: where that thread's fit had drawn up to.
    """
    global _ONE_AT_A_TIME
    _ONE_AT_A_TIME = threading.RLock()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_renew_lock)


def host_state() -> tuple[Any, Any]:
    """The states of NumPy's and Python's generators."""
    return np.random.get_state(), random.getstate()


def set_host_state(state: tuple[Any, Any]) -> None:
    """Put back what `host_state` has returned."""
    of_numpy, of_python = state
    np.random.set_state(of_numpy)
    random.setstate(of_python)


@contextmanager
def isolated_random_state(
    seed: int, device: str | torch.device
) -> Iterator[Callable[[int], None]]:
    """Seed torch, NumPy and Python for a block, and put their states back after it.

    User code that runs inside a fit (modules, callbacks, augmentations) draws from the
    global generators; seeding them is what makes a fit repeatable, and restoring them
    is what keeps a fit from changing the rest of the program.

    Parameters
    ----------
    seed : int
        In [0, 2**32).
    device : str or torch.device
        Where the block computes; the generator of a CUDA device is isolated too.

    Yields
    ------
    callable
        ``reseed(seed)`` seeds anew within the block.
    """
    device = torch.device(device)
    devices = []
    if device.type == "cuda":
        devices = [
            torch.cuda.current_device() if device.index is None else device.index
        ]

    def reseed(seed: int) -> None:
        random.seed(seed)
        np.random.seed(seed)
        torch.default_generator.manual_seed(seed)
        for index in devices:
            with torch.cuda.device(index):
                torch.cuda.manual_seed(seed)

    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=devices):
        before = host_state()
        try:
            reseed(seed)
            yield reseed
        finally:
            set_host_state(before)
