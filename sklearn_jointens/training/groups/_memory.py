"""How much memory training takes, and how much there is."""

from typing import Any

import psutil
import torch
from torch import Tensor

from sklearn_jointens.nn._base import named_tensors

# The share of free memory that may be taken without being asked.
_SHARE_OF_FREE = 0.25

# Copies of a group's weights: in the program, gradients, what optimizers keep (two for
# Adam), the group's net and its members, the best epoch, and one more while groups
# leave.
_COPIES_OF_WEIGHTS = 8

# Activations that backward needs, and as much again for their gradients.
_COPIES_OF_ACTIVATIONS = 2


def free_memory(device: str | torch.device) -> int:
    """Bytes that a search may take by default: a quarter of what is free.

    Parameters
    ----------
    device : str or torch.device
        A CUDA device has memory of its own; any other has the machine's.

    Returns
    -------
    int
    """
    device = torch.device(device)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
    else:
        free = psutil.virtual_memory().available
    return int(_SHARE_OF_FREE * free)


def bytes_of_group(net: Any, rows: Tensor, batch_size: int) -> int:
    """Bytes that one ensemble takes while it is trained.

    Parameters
    ----------
    net : JointNet
        Its weights are left as they are; random numbers may be drawn.
    rows : Tensor of shape (n_rows, ...)
        A few rows as members take them.
    batch_size : int
        Rows of a training batch.

    Returns
    -------
    int
    """
    weights = {
        tensor.data_ptr(): tensor.nbytes
        for tensor in named_tensors(net.plain_module.members).values()
    }
    activations: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        activations[storage.data_ptr()] = storage.nbytes()
        return tensor

    # A copy: a forward pass in training may change buffers.
    module = net.plain_module.select(range(net.plain_module.n_members)).train()
    of_copy = {tensor.data_ptr() for tensor in named_tensors(module.members).values()}
    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = module(rows)
    outputs = outputs[0] if isinstance(outputs, tuple) else outputs
    note(outputs)
    of_rows = sum(
        size
        for place, size in activations.items()
        if place not in of_copy and place != rows.untyped_storage().data_ptr()
    )
    per_row = of_rows / len(rows) + rows[0].nbytes
    return int(
        _COPIES_OF_WEIGHTS * sum(weights.values())
        + _COPIES_OF_ACTIVATIONS * per_row * batch_size
    )
