"""What rows count travels with them: in the data set and its batches, no further."""

import copy
import gc
import pickle
import weakref

import numpy as np
import pytest
import torch
from scipy import sparse
from skorch.callbacks import Callback, Checkpoint, EpochScoring
from skorch.dataset import Dataset, ValidSplit
from skorch.utils import data_from_dataset
from tools import ensemble, skorch_net
from torch.utils.data import DataLoader, Subset

from sklearn_jointens.losses import joint_loss
from sklearn_jointens.training import MemberFolds
from sklearn_jointens.training._batches import (
    ArrayDataset,
    ArrayPart,
    BatchSlicer,
    unwrap_subset,
)

N_ROWS = 60
WEIGHT = np.arange(1.0, N_ROWS + 1) / N_ROWS
LABELS = np.array(["ant", "bee", "cat"])


@pytest.fixture
def data():
    X = np.random.RandomState(0).randn(N_ROWS, 400).astype(np.float32)
    X[:, 0] = np.arange(N_ROWS)  # says which row it is
    return X, LABELS[np.arange(N_ROWS) % 3]


class Rows(Dataset):
    """A data set of the user's own."""


def member(**params):
    settings = {"lr": 1e-3, "max_epochs": 2, "batch_size": 16}
    return skorch_net(iterator_train__shuffle=True, **{**settings, **params})


WHEN = ("epoch_begin", "batch_begin", "grad_computed", "batch_end", "epoch_end")


class At(Callback):
    """Calls a function of the net and of what else there is to see; holds nothing."""

    def __init__(self, when=None, function=None):
        self.when, self.function = when, function

    def __reduce__(self):
        return At, ()

    def _notify(self, when, net, seen):
        if when == self.when:
            self.function(net, **seen)

    def on_epoch_begin(self, net, **seen):
        self._notify("epoch_begin", net, seen)

    def on_batch_begin(self, net, **seen):
        self._notify("batch_begin", net, seen)

    def on_grad_computed(self, net, **seen):
        self._notify("grad_computed", net, seen)

    def on_batch_end(self, net, **seen):
        self._notify("batch_end", net, seen)

    def on_epoch_end(self, net, **seen):
        self._notify("epoch_end", net, seen)


# -- from data sets to batches ---------------------------------------------------------


@pytest.mark.parametrize("dataset", [Dataset, Rows])
@pytest.mark.parametrize("bootstrap", [False, True])
def test_batches_carry_the_weights_of_their_rows(data, dataset, bootstrap):
    seen = {True: [], False: []}

    def note(net, batch, training):
        seen[training].append((batch[0][:, 0].long(), batch.weight))

    split = ValidSplit(3)
    callbacks = [At("batch_begin", note)]
    net = member(dataset=dataset, train_split=split, callbacks=callbacks)
    clf = ensemble(net, bootstrap=bootstrap).fit(*data, sample_weight=WEIGHT)

    counts = np.ones((3, N_ROWS))
    if bootstrap:
        for own, seed in zip(counts, clf._draws.seeds, strict=True):
            drawn = np.random.RandomState(seed).randint(N_ROWS, size=N_ROWS)
            own[:] = np.bincount(drawn, minlength=N_ROWS)
    for training, batches in seen.items():
        of_rows = WEIGHT * counts if training and bootstrap else WEIGHT
        for rows, weight in batches:
            np.testing.assert_allclose(weight, of_rows[..., rows])
        rows = torch.cat([rows for rows, _ in batches])
        assert len(rows) == 2 * (40 if training else 20)


def test_a_data_set_of_the_users_own_is_seen_as_it_is(data):
    """But for its class, where rows have weights."""
    scored = EpochScoring("accuracy", lower_is_better=False, use_caching=False)
    given = []

    def split(dataset, y):
        given.append(dataset)
        return ValidSplit(3)(dataset, y)

    net = member(dataset=Rows, train_split=split, callbacks=[("scored", scored)])
    clf = ensemble(net).fit(*data, sample_weight=WEIGHT)

    (dataset,) = given
    assert len(dataset) == N_ROWS
    np.testing.assert_array_equal(dataset.X, data[0])
    np.testing.assert_array_equal(dataset[7][0], data[0][7])
    assert clf.history_[:, "accuracy"] == clf.history_[:, "valid_acc"]


@pytest.mark.parametrize("dataset", [Dataset, Rows])
def test_callbacks_see_what_fit_was_given(data, dataset):
    seen = []

    class Watching(Callback):
        def on_train_begin(self, net, X=None, y=None, **kwargs):
            seen.append((X, y))

        on_train_end = on_train_begin

    net = member(dataset=dataset, callbacks=[Watching()])
    ensemble(net, bootstrap=True).fit(*data)

    for X, y in seen:
        np.testing.assert_array_equal(X, data[0])
        np.testing.assert_array_equal(y, data[1])
    assert len(seen) == 2


def test_a_loss_outside_of_a_step_is_of_rows_without_weights(data):
    """The weights of the batch before were taken, of other rows."""
    losses = []

    def ask(net, **kwargs):
        output, y = torch.rand(3, 5, 3), torch.arange(5) % 3
        expected = joint_loss(output, y, 0.5)
        losses.append((float(net.get_loss(output, y, training=True)), float(expected)))

    callbacks = [At("batch_begin", ask), At("epoch_end", ask)]
    ensemble(member(callbacks=callbacks)).fit(*data, sample_weight=WEIGHT)

    found, expected = np.transpose(losses)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


# -- parts of one array ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["dense", "sparse", "mapped"])
def test_a_part_of_a_data_set_has_its_own_rows_and_targets(data, kind, tmp_path):
    X, y = data[0], torch.arange(5)
    if kind == "mapped":
        np.save(tmp_path / "X.npy", X)
    source = {
        "dense": lambda: X,
        "sparse": lambda: sparse.csr_array(X),
        "mapped": lambda: np.load(tmp_path / "X.npy", mmap_mode="r"),
    }[kind]()
    whole = ArrayDataset(source, None, torch.float32, "cpu")
    places = np.array([7, 3, 3, 59, 0])
    part = ArrayPart(whole, places, y)

    assert (len(part), part.shape) == (5, (5, 400))
    for index in (slice(1, 4), torch.tensor([4, 1, 1])):
        np.testing.assert_array_equal(part.rows(index), X[places][index])
    own, targets = data_from_dataset(Subset(part, [2, 4]))
    own = own.toarray() if kind == "sparse" else own
    np.testing.assert_array_equal(own, X[places[[2, 4]]])
    assert targets.tolist() == [2, 4]
    for batches in (
        BatchSlicer(part, batch_size=2),
        DataLoader(part, batch_size=2),
    ):
        seen = [torch.cat(column) for column in zip(*batches, strict=True)]
        np.testing.assert_array_equal(seen[0], X[places])
        assert seen[1].tolist() == y.tolist()


# -- what a fit leaves behind ----------------------------------------------------------


KINDS = {
    "plain": ({}, {}),
    "bootstrap": ({}, {"bootstrap": True}),
    "folds": ({"train_split": MemberFolds(3)}, {}),
    "split": ({"train_split": ValidSplit(3)}, {"bootstrap": True}),
    "own": ({"dataset": Rows}, {"bootstrap": True}),
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("copied", [pickle.dumps, copy.deepcopy])
@pytest.mark.parametrize("kind", KINDS)
def test_a_copy_of_the_net_in_a_fit_holds_no_rows(data, kind, copied):
    """It held all of them, with their weights."""
    params, settings = KINDS[kind]
    copies = []

    def take(net, **seen):
        copies.append(copied(net))

    callbacks = [At(when, take) for when in WHEN]
    net = member(**params, callbacks=callbacks)
    ensemble(net, **settings).fit(*data)

    for taken in copies:
        size = len(taken if copied is pickle.dumps else pickle.dumps(taken))
        assert size < data[0].nbytes / 2
        again = pickle.loads(taken) if copied is pickle.dumps else taken
        assert not any(
            isinstance(value, torch.utils.data.Dataset)
            for value in vars(again).values()
        )
        # In training it is class numbers that are predicted.
        assert set(again.predict(data[0])) <= set(LABELS)
    assert len(copies) >= 2 * len(WHEN)


def test_a_checkpoint_of_the_net_holds_no_rows(data, tmp_path):
    checkpoint = Checkpoint(monitor=None, f_pickle="net.pkl", dirname=tmp_path)
    clf = ensemble(member(callbacks=[checkpoint]), bootstrap=True).fit(*data)

    file = tmp_path / "net.pkl"
    assert file.stat().st_size < data[0].nbytes / 2
    again = pickle.loads(file.read_bytes())
    np.testing.assert_array_equal(again.predict(data[0]), clf.predict(data[0]))


@pytest.mark.quick(1)
@pytest.mark.parametrize("kind", KINDS)
def test_a_fitted_ensemble_lets_go_of_its_rows(data, kind):
    params, settings = KINDS[kind]
    datasets = []

    def note(net, dataset_train, dataset_valid):
        datasets.append(weakref.ref(unwrap_subset(dataset_train)[0]))

    net = member(**params, callbacks=[At("epoch_begin", note)])
    clf = ensemble(net, **settings).fit(*data)
    gc.collect()

    assert [dataset() for dataset in datasets] == [None] * 2
    assert clf.predict(data[0]).shape == (N_ROWS,)
