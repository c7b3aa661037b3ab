"""Where the host's random generators stand."""

import random
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch


class HostRandomState(NamedTuple):
    """States of the global generators, to be compared with later ones."""

    torch: bytes
    python: tuple[Any, ...]
    numpy: tuple[bytes, int]


def host_random_state() -> HostRandomState:
    """Where torch's, Python's and NumPy's generators stand now."""
    state: Any = np.random.get_state()
    _, keys, position, *_ = state
    torch_state = torch.default_generator.get_state().numpy().tobytes()
    return HostRandomState(torch_state, random.getstate(), (keys.tobytes(), position))


# Another thread may draw meanwhile; it would have to each time.
_TRIALS = 3


def draws_on_host(run: Callable[[], Any]) -> tuple[bool, Any]:
    """Whether a function draws from the host's global generators, and its result."""
    for _ in range(_TRIALS):
        before = host_random_state()
        result = run()
        if host_random_state() == before:
            return False, result
    return True, result
