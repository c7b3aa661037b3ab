"""Rows to predict, in batches that members take."""

from collections.abc import Iterator
from typing import Any

import torch
from skorch.dataset import Dataset, unpack_data
from skorch.utils import to_tensor
from torch import Tensor

from sklearn_jointens.training._batches import (
    ArrayDataset,
    BatchSlicer,
    chunk_size,
    row_chunks,
    unwrap_subset,
)
from sklearn_jointens.training._module_arguments import input_dtype


def prediction_batches(
    net: Any, data: Any, module: Any
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Successive rows, and their targets where the data has them.

    Parameters
    ----------
    net : JointNet
        Whose data sets and iterators are used.
    data : ndarray or CSR array of shape (n_samples, ...), or Dataset
    module : VectorizedModule
        That is to take the rows.

    Yields
    ------
    rows : Tensor of shape (n_rows, ...)
    y : Tensor of shape (n_rows,) or None
    """
    if not isinstance(data, torch.utils.data.Dataset):
        if net.dataset is Dataset:
            size, dtype = chunk_size(module, data), input_dtype(module, data)
            for rows in row_chunks(data, size, dtype, net.device):
                yield rows, None
            return
        data = net.get_dataset(data)
    base, _ = unwrap_subset(data)
    if isinstance(base, ArrayDataset):
        batches: Any = BatchSlicer(
            data,
            batch_size=chunk_size(module, base.X),
            generator=torch.Generator(),  # not torch's own, which others draw from
        )
    else:
        batches = net.get_iterator(data)
    for batch in batches:
        yield to_tensor(unpack_data(batch), device=net.device)
