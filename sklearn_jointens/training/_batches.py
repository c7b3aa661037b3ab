"""Batches sliced out of arrays in one step, instead of collected row by row.

torch's ``DataLoader`` asks a data set for one row at a time and collates them, which
costs more than training a small network on the batch. Arrays in memory need none of it.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from scipy import sparse
from skorch.dataset import Dataset
from skorch.utils import check_indexing
from torch import Tensor
from torch.utils.data import Subset

# Options of DataLoader that a sliced batch honours or has no need of.
SLICEABLE_OPTIONS = {
    "batch_size",
    "drop_last",
    "generator",
    "num_workers",
    "persistent_workers",
    "pin_memory",
    "prefetch_factor",
    "shuffle",
}

# The share of free CUDA memory that a data set may take to be kept on the device.
_DEVICE_SHARE = 0.5


class Batch(tuple):
    """A pair (X, y) with the weights of its rows.

    skorch and its callbacks see a pair. `weight` is for the joint loss: a Tensor of
    shape (n_samples,) or (n_members, n_samples), or None. `members` are the indices of
    those that run on the batch; None is all.
    """

    weight: Tensor | None
    members: Tensor | None

    def __new__(
        cls,
        X: Any,
        y: Any,
        weight: Tensor | None = None,
        members: Tensor | None = None,
    ) -> "Batch":
        batch = super().__new__(cls, (X, y))
        batch.weight, batch.members = weight, members
        return batch


class _Writeable:
    """An array's memory, described to NumPy as one that may be written to."""

    def __init__(self, array: np.ndarray) -> None:
        self.owner = array
        description = dict(array.__array_interface__)
        description["data"] = (description["data"][0], False)
        self.__array_interface__ = description


def as_tensor(array: np.ndarray) -> Tensor:
    """A tensor over the memory of `array`, which is never written to.

    torch warns about read-only arrays, such as memory maps; a view whose description
    says writable is quiet, and unlike a warnings filter safe among threads.
    """
    if array.dtype == np.longdouble:  # which torch does not have
        array = array.astype(np.float64)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if any(stride < 0 for stride in array.strides):
        array = np.ascontiguousarray(array)
    if not array.flags.writeable:
        array = np.asarray(_Writeable(array))
    return torch.from_numpy(array)


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """A tensor on the device, without waiting until it has arrived there."""
    if device.type != "cuda" or tensor.device.type != "cpu":
        return tensor.to(device)
    # Pinned memory is not given to others before a copy from it has been made.
    pinned = tensor if tensor.is_pinned() else tensor.pin_memory()
    return pinned.to(device, non_blocking=True)


def _fits(n_bytes: int, device: torch.device) -> bool:
    if device.type != "cuda":
        return True
    free, _ = torch.cuda.mem_get_info(device)
    return n_bytes < _DEVICE_SHARE * free


# Floats that the activations of one chunk of rows may take, about 64 MB.
_CHUNK_FLOATS = 2**24
_CHUNK_ROWS = 1000


def chunk_size(module: Any, X: Any) -> int:
    """Rows a chunk of an array or data set: fast, with activations that stay small."""
    if X.shape[0] == 1:
        return 1
    width = max(1, module.row_width * int(np.prod(X.shape[2:])))
    return int(np.clip(_CHUNK_FLOATS // width, 1, _CHUNK_ROWS))


def row_chunks(
    X: Any, size: int, dtype: torch.dtype, device: str | torch.device
) -> Iterator[Tensor]:
    """Successive rows of an array as dense tensors; nothing is converted whole.

    Parameters
    ----------
    X : ndarray or CSR array of shape (n_samples, ...)
    size : int
        Rows in a chunk.
    dtype : torch.dtype
    device : str or torch.device

    Yields
    ------
    Tensor of shape (n_rows, ...)
    """
    for start in range(0, X.shape[0], size):
        rows = X[start : start + size]
        rows = rows.toarray() if sparse.issparse(rows) else rows
        # A copy: a module may write to its input.
        yield as_tensor(rows).to(device=device, dtype=dtype, copy=True)


class ArrayDataset(Dataset):
    """Rows of an array as a skorch data set that can be sliced.

    Parameters
    ----------
    X : ndarray, Tensor or CSR array of shape (n_samples, ...)
        Sparse rows are made dense a batch at a time, and memory maps are read a batch
        at a time.
    y : Tensor of shape (n_samples,) or None
        Encoded targets.
    dtype : torch.dtype
        What a member takes.
    device : str or torch.device
        Where batches are wanted. The whole array is kept there if it fits; otherwise
        its rows are gathered on the host, and only targets are kept there.

    Attributes
    ----------
    member_rows : MemberRows or None
        What the rows count in a fit, which gives it to the data set.
    """

    member_rows: Any = None

    def __init__(
        self, X: Any, y: Tensor | None, dtype: torch.dtype, device: str | torch.device
    ) -> None:
        self.dtype, self.device = dtype, torch.device(device)
        if isinstance(X, np.ndarray):
            mapped = isinstance(X, np.memmap)
            X = as_tensor(X)
            if not mapped:
                X = X.to(dtype).contiguous()
        if isinstance(X, Tensor) and _fits(X.nbytes, self.device):
            X = X.to(self.device)
        is_resident = isinstance(X, Tensor) and X.device.type == self.device.type
        # Where `rows` takes the index.
        self.index_device = self.device if is_resident else torch.device("cpu")
        super().__init__(X, None if y is None else y.to(self.device))

    @property
    def shape(self) -> tuple[int, ...]:
        """Of X."""
        return tuple(self.X.shape)

    def transform(self, X: Any, y: Any) -> tuple[Tensor, Any]:
        """One row, for an iterator of the user's own."""
        if sparse.issparse(X) and X.ndim == 1:  # which skorch does not expect
            X = X.toarray()
        X, y = super().transform(X, y)
        return torch.as_tensor(X).to(self.dtype), y

    def rows(self, index: slice | Tensor) -> Tensor:
        """The rows of X at `index`, dense, as members take them."""
        return to_device(self._gathered(index), self.device).to(self.dtype)

    def _gathered(self, index: slice | Tensor) -> Tensor:
        if sparse.issparse(self.X):
            key = index if isinstance(index, slice) else index.numpy()
            return as_tensor(self.X[key].toarray())
        if isinstance(index, slice):
            return self.X[index].clone()  # a module may write to its input
        if self.index_device == self.device:
            return self.X.index_select(0, index)
        # Straight into the memory that is copied from.
        rows = torch.empty(
            (len(index), *self.X.shape[1:]), dtype=self.X.dtype, pin_memory=True
        )
        return torch.index_select(self.X, 0, index, out=rows)


class ArrayPart(ArrayDataset):
    """Some rows of another data set, with targets of their own; X is shared.

    Parameters
    ----------
    whole : ArrayDataset
    places : ndarray of shape (n_samples,), int64
        Of the rows in `whole`; one may come several times.
    y : Tensor of shape (n_samples,)
        Encoded targets.
    """

    def __init__(self, whole: ArrayDataset, places: np.ndarray, y: Tensor) -> None:
        vars(self).update(vars(whole))
        self.whole = whole
        self.places = as_tensor(places).to(whole.index_device)
        self.y, self._len = y.to(whole.device), len(places)
        self.y_indexing = check_indexing(self.y)

    @property
    def X(self) -> Any:
        """A copy of the rows, which nothing that is fast asks for."""
        is_sparse = sparse.issparse(self.whole.X)
        return self.whole.X[self.places.numpy() if is_sparse else self.places]

    @property
    def shape(self) -> tuple[int, ...]:
        """Of X."""
        return (len(self), *self.whole.shape[1:])

    def rows(self, index: slice | Tensor) -> Tensor:
        """The rows of X at `index`, dense, as members take them."""
        return self.whole.rows(self.places[index])


class AllRows(Subset):
    """A user's data set, to which a subclass adds something.

    skorch looks through a Subset; what else one asks of it, the data set has.
    """

    def __init__(self, dataset: Any) -> None:
        super().__init__(dataset, list(range(len(dataset))))

    def __getattr__(self, name: str) -> Any:
        # A sampler may want the targets, say.
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)


def unwrap_subset(dataset: Any) -> tuple[Any, Tensor | None]:
    """The data set under (nested) Subsets, and the rows they keep (None: all)."""
    index: np.ndarray | None = None
    while isinstance(dataset, Subset) and not isinstance(dataset, AllRows):
        outer = np.asarray(dataset.indices)
        index = outer if index is None else outer[index]
        dataset = dataset.dataset
    return dataset, None if index is None else as_tensor(index)


class BatchSlicer:
    """Iterator over sliced batches, with the options and order of ``DataLoader``.

    Parameters
    ----------
    dataset : ArrayDataset or Subset of one
    weight : Tensor of shape (n_samples,) or (n_members, n_samples), or None
        Weights of all rows of the data set.
    batch_size : int
    shuffle : bool, default=False
    drop_last : bool, default=False
    generator : torch.Generator or None, default=None
        Source of the order; ``None`` is torch's default generator.
    """

    def __init__(
        self,
        dataset: Any,
        weight: Tensor | None = None,
        *,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        generator: torch.Generator | None = None,
        **_: Any,
    ) -> None:
        if batch_size < 1:
            raise ValueError(
                "The 'batch_size' parameter of the member must be an int of at least "
                f"1, or -1 for all rows at once. Got {batch_size!r} instead."
            )
        self.dataset, self.index = unwrap_subset(dataset)
        self.n_samples = len(dataset)
        self.weight = weight
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        self.generator = generator

    def __len__(self) -> int:
        full, rest = divmod(self.n_samples, self.batch_size)
        return full + (rest > 0 and not self.drop_last)

    def order(self) -> Tensor | None:
        """Draw the rows in the order of an epoch; None is all rows as they come."""
        # DataLoader draws a seed for its workers, and another for its sampler: the same
        # seed is to give the same batches here as there.
        torch.empty((), dtype=torch.int64).random_(generator=self.generator)
        if not self.shuffle:
            return self.index
        generator = self.generator
        if generator is None:
            generator = torch.Generator()
            generator.manual_seed(int(torch.empty((), dtype=torch.int64).random_()))
        order = torch.randperm(self.n_samples, generator=generator)
        if self.generator is not None:
            # RandomSampler draws a further order, of which it uses nothing.
            torch.randperm(self.n_samples, generator=generator)
        return order if self.index is None else self.index[order]

    def __iter__(self) -> Iterator[Batch]:
        order = self.order()
        device = self.dataset.device
        order_there = None if order is None else to_device(order, device)
        is_resident = self.dataset.index_device == device
        for start in range(0, len(self) * self.batch_size, self.batch_size):
            rows = slice(start, min(start + self.batch_size, self.n_samples))
            index = rows if order_there is None else order_there[rows]
            if is_resident or order is None:
                X = self.dataset.rows(index)
            else:
                X = self.dataset.rows(order[rows])
            y = self.dataset.y
            y = X.new_zeros(len(X)) if y is None else y[index]
            weight = None if self.weight is None else self.weight[..., index]
            yield Batch(X, y, weight)
