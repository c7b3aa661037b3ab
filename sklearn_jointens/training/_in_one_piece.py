"""Pickles within a pickle, of what holds tensors.

Every tensor costs a plain pickle a file of its own; libraries that keep objects by the
names of their classes hold no module, and do hold bytes.
"""

import io
from typing import Any

import cloudpickle
import torch


def in_one_piece(value: Any) -> bytes:
    """What torch saves of a value; classes of a script go with it."""
    file = io.BytesIO()
    torch.save(value, file, pickle_module=cloudpickle)
    return file.getvalue()


def out_of_one_piece(data: bytes) -> Any:
    """What `in_one_piece` was given, on the CPU."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=False)
