"""How much memory training takes, and how much there is."""

from typing import Any

import psutil
import torch
from torch import Tensor

from sklearn_jointens.nn._copying import named_tensors
from sklearn_jointens.training._batches import ArrayDataset, chunk_size

# The share of free memory that may be taken without being asked.
_SHARE_OF_FREE = 0.25

# Of what may be taken, this much is planned with; allocators leave gaps.
_PLANNED = 0.85

# Copies of an ensemble's weights: in the program, gradients, what optimizers keep (two
# for Adam), the ensemble's net, the best epoch, two while others leave, and two of the
# one that it starts like.
_COPIES_OF_WEIGHTS = 10

# The ensemble that others are copies of, with its members, and what vectorizing and
# checking it takes.
_COPIES_BESIDE = 6

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


def groups_within(budget: float, net: Any, dataset: ArrayDataset, batch: int) -> int:
    """How many ensembles can be trained together, at least one.

    Parameters
    ----------
    budget : float
        Bytes that they may take.
    net : JointNet
        One of them. Its weights are left as they are; random numbers may be drawn.
    dataset : ArrayDataset
        Of all rows.
    batch : int
        Rows of the largest batch.

    Returns
    -------
    int
    """
    weights, of_row = _footprint(net, dataset.rows(torch.arange(min(8, len(dataset)))))
    n_scored = min(chunk_size(net.plain_module, dataset), len(dataset))
    activations = _COPIES_OF_ACTIVATIONS * of_row
    beside = _COPIES_BESIDE * weights + activations * n_scored
    each = _COPIES_OF_WEIGHTS * weights + activations * batch
    return max(1, int((_PLANNED * budget - beside) // each))


def _footprint(net: Any, rows: Tensor) -> tuple[int, float]:
    """Bytes of an ensemble's weights, and of what a row takes in a training pass."""
    # A copy: a forward pass in training may change buffers.
    module = net.plain_module.select(range(net.plain_module.n_members)).train()
    weights = {_place(t): t.nbytes for t in named_tensors(module.members).values()}
    activations = {_place(rows): rows.nbytes}

    def note(tensor: Tensor) -> Tensor:
        if _place(tensor) not in weights:
            activations[_place(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        outputs = module(rows)
    note(outputs[0] if isinstance(outputs, tuple) else outputs)
    return sum(weights.values()), sum(activations.values()) / len(rows)


def _place(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()
