"""Where the host's random generators stand."""

import random
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
