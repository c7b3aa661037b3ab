"""Sliced batches are DataLoader's batches, and nothing is made dense whole."""

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch import NeuralNetClassifier
from skorch.dataset import Dataset
from torch import nn
from torch.utils.data import DataLoader, Subset

from sklearn_jointens.training import MemberNet, derived_net
from sklearn_jointens.training._batches import (
    ArrayDataset,
    BatchSlicer,
    as_tensor,
    row_chunks,
    unwrap_subset,
)
from sklearn_jointens.training._rows import WeightedLoader

N_ROWS = 23


@pytest.fixture
def X():
    return np.random.RandomState(0).randn(N_ROWS, 4).astype(np.float32)


@pytest.fixture
def y():
    return torch.arange(N_ROWS) % 3


@pytest.fixture
def dataset(X, y):
    return ArrayDataset(X, y, torch.float32, "cpu")


def rows_of(batches):
    return [(X.tolist(), y.tolist()) for X, y in batches]


@pytest.mark.parametrize("subset", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"batch_size": 5},
        {"batch_size": 5, "drop_last": True},
        {"batch_size": 5, "shuffle": True},
        {"batch_size": 5, "shuffle": True, "drop_last": True},
        {"batch_size": 50, "shuffle": True},
        {"batch_size": 50, "drop_last": True},
    ],
    ids=str,
)
def test_slicer_gives_the_batches_of_dataloader_in_its_order(
    dataset, X, y, options, subset
):
    stock = Dataset(X, y.numpy())
    if subset:
        indices = np.random.RandomState(1).permutation(N_ROWS)[:17]
        dataset, stock = Subset(dataset, indices), Subset(stock, indices)
    slicer, loader = BatchSlicer(dataset, **options), DataLoader(stock, **options)
    assert len(slicer) == len(loader)
    for seed in range(2):
        torch.manual_seed(seed)
        expected = rows_of(loader) + rows_of(loader)
        state = torch.get_rng_state()
        torch.manual_seed(seed)
        found = rows_of(slicer) + rows_of(slicer)
        assert found == expected
        # What comes after an epoch, dropout say, is drawn alike too.
        assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("shuffle", [False, True])
def test_slicer_draws_from_a_generator_what_dataloader_draws(dataset, X, y, shuffle):
    orders = []
    for kind, data in (
        (BatchSlicer, dataset),
        (DataLoader, Dataset(X, y.numpy())),
    ):
        generator = torch.Generator().manual_seed(3)
        batches = kind(data, batch_size=4, shuffle=shuffle, generator=generator)
        orders.append([rows_of(batches) for _ in range(3)])
    assert orders[0] == orders[1]


@pytest.mark.parametrize("shape", [(N_ROWS,), (3, N_ROWS)])
@pytest.mark.parametrize("shuffle", [False, True])
def test_slicer_gives_each_row_its_own_weight(X, shape, shuffle):
    weight = torch.rand(shape)
    numbered = ArrayDataset(X, torch.arange(N_ROWS), torch.float32, "cpu")
    subset = Subset(numbered, [20, 3, 3, 8, 1])
    for data in (numbered, subset, Subset(subset, [4, 0])):
        for batch in BatchSlicer(data, weight, batch_size=2, shuffle=shuffle):
            _, row = batch
            assert torch.equal(batch.weight, weight[..., row])


def test_batches_without_weights_have_none(dataset):
    assert next(iter(BatchSlicer(dataset, batch_size=2))).weight is None


def test_nested_subsets_are_unwrapped_to_the_rows_they_keep(dataset):
    base, index = unwrap_subset(Subset(Subset(dataset, [5, 7, 9, 11]), [3, 1]))
    assert base is dataset
    assert index.tolist() == [11, 7]
    assert unwrap_subset(dataset) == (dataset, None)


class Squares(torch.utils.data.Dataset):
    """A user's own data set."""

    def __len__(self):
        return 10

    def __getitem__(self, i):
        return torch.tensor([float(i**2)]), i


@pytest.mark.parametrize("shape", [(10,), (3, 10)])
@pytest.mark.parametrize("subset", [None, [7, 2, 5]])
def test_weighted_loader_gives_each_row_of_a_users_loader_its_weight(shape, subset):
    weight = torch.rand(shape)
    data = Squares() if subset is None else Subset(Squares(), subset)
    loader = WeightedLoader(
        lambda ds: DataLoader(ds, batch_size=2, shuffle=True), data, weight
    )
    seen = []
    for batch in loader:
        X, row = batch
        assert torch.equal(X[:, 0], row.float() ** 2)
        assert torch.equal(batch.weight, weight[..., row])
        seen += row.tolist()
    assert sorted(seen) == sorted(subset or range(10))
    assert len(loader) == len(DataLoader(data, batch_size=2))


@pytest.mark.parametrize(
    "make",
    [
        lambda X: X[::-1],
        lambda X: X[:, ::-1],
        lambda X: X[::2, 1:],
        lambda X: np.asfortranarray(X),
        lambda X: X.astype(">f4"),
        lambda X: X.astype(np.longdouble),
    ],
    ids=["rows reversed", "columns reversed", "strided", "F", "big-endian", "long"],
)
def test_arrays_of_any_layout_become_tensors(X, make):
    array = make(X)
    np.testing.assert_array_equal(as_tensor(array).numpy(), array.astype(np.float64))


def test_a_read_only_array_becomes_a_tensor_without_a_copy_or_a_warning(X):
    X.setflags(write=False)
    tensor = as_tensor(X)
    assert tensor.data_ptr() == X.ctypes.data
    np.testing.assert_array_equal(tensor.numpy(), X)


def test_the_memory_of_a_read_only_array_lives_as_long_as_its_tensor():
    array = np.full(1000, 7.0)
    array.setflags(write=False)
    tensor = as_tensor(array)
    del array
    junk = [np.zeros(1000) for _ in range(50)]
    assert (tensor == 7).all(), junk


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "int64", "float64"])
def test_rows_of_any_dtype_come_in_the_dtype_members_take(X, y, dtype, tmp_path):
    array = (np.abs(X) * 3).astype(dtype)
    np.save(tmp_path / "X.npy", array)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    index = torch.tensor([4, 2, 2])
    for source in (array, mapped, sparse.csr_array(array)):
        data = ArrayDataset(source, y, torch.float32, "cpu")
        for key in (slice(3, 9), index):
            rows = data.rows(key)
            assert rows.dtype == torch.float32
            np.testing.assert_array_equal(
                rows.numpy(), array[key.numpy() if key is index else key]
            )


def test_a_memory_map_is_not_read_whole(X, y, tmp_path):
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    data = ArrayDataset(mapped, y, torch.float32, "cpu")
    assert data.X.data_ptr() == mapped.ctypes.data


@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_sparse_rows_are_made_dense_a_batch_at_a_time(X, y, kind, monkeypatch):
    X[X < 0] = 0
    dense_rows = []
    toarray = kind.toarray

    def counted(self, *args, **kwargs):
        dense_rows.append(self.shape[0])
        return toarray(self, *args, **kwargs)

    monkeypatch.setattr(kind, "toarray", counted)
    data = ArrayDataset(kind(X), y, torch.float32, "cpu")
    for shuffle in (False, True):
        for rows, _ in BatchSlicer(data, batch_size=6, shuffle=shuffle):
            assert len(rows) <= 6
    chunks = torch.cat(list(row_chunks(kind(X), 5, torch.float32, "cpu")))
    np.testing.assert_array_equal(chunks.numpy(), X)
    assert max(dense_rows) == 6


@pytest.mark.parametrize(
    ("options", "sliced"),
    [
        ({}, True),
        ({"iterator_train__shuffle": True}, True),
        ({"iterator_train__num_workers": 0}, True),
        ({"iterator_train__sampler": None}, False),
        ({"iterator_train__collate_fn": torch.utils.data.default_collate}, False),
        ({"iterator_train": type("Loader", (DataLoader,), {})}, False),
        ({"dataset": type("Rows", (Dataset,), {})}, False),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else str(value),
)
def test_what_only_dataloader_can_do_is_left_to_it(X, y, options, sliced):
    prototype = NeuralNetClassifier(
        nn.Linear, module__in_features=4, module__out_features=3, **options
    )
    net = derived_net(prototype, MemberNet).initialize()
    iterator = net.get_iterator(net.get_dataset(X, y.numpy()), training=True)
    assert isinstance(iterator, BatchSlicer) == sliced
    assert isinstance(iterator, net.iterator_train) != sliced
