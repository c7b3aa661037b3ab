"""The parts of a program that trains several ensembles at once."""

import numpy as np
import psutil
import pytest
import torch
from scipy import sparse
from search_tools import Normalized, member, member_of
from sklearn.datasets import make_classification
from skorch.callbacks import LRScheduler
from skorch.dataset import ValidSplit
from torch.optim import lr_scheduler

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens._search._workshop import Trial, Workshop
from sklearn_jointens.nn._copying import named_tensors
from sklearn_jointens.training import isolated_random_state
from sklearn_jointens.training.groups import (
    batches_alike,
    free_memory,
    groups_within,
    train_groups,
    why_one_by_one,
)
from sklearn_jointens.training.groups._collate import Collator
from sklearn_jointens.training.groups._run import GroupRun

X, Y = make_classification(n_samples=60, n_features=6, random_state=0)
# With a layer that draws, copies of rows would hide which were taken.
X[:, 0] = np.arange(60)

EVEN = (np.arange(20), np.arange(30, 50))
UNEVEN = (np.arange(20), np.arange(30, 45))


@pytest.fixture(autouse=True)
def reseed():
    with isolated_random_state(0, "cpu") as reseed:
        yield reseed


class Floor:
    """Streams of rows, with ensembles of these lams on each."""

    def __init__(self, reseed, net, rows, lams, rows_of=None, weight=None, **params):
        ensemble = JointEnsembleClassifier(net, n_estimators=2, **params)
        self.prototype = ensemble._resolve_prototype()
        data = X if rows_of is None else rows_of
        self.shop = Workshop(ensemble, data)
        self.trials = [
            Trial(ensemble, self.prototype, part, 0, data, Y, weight) for part in rows
        ]
        self.net = self.shop.first_net(self.trials[0], reseed)
        for trial in self.trials:
            trial.open_stream(self.net, self.shop.dataset(self.net), reseed)
        self.streams = [trial.stream for trial in self.trials]
        self.nets = [
            [self.shop.net(trial, lam, reseed) for lam in of_trial]
            for trial, of_trial in zip(self.trials, lams, strict=True)
        ]

    def groups(self):
        for stream, nets in zip(self.streams, self.nets, strict=True):
            stream.begin(nets)
        return [group for stream in self.streams for group in stream.groups]


def tensors(net):
    return {
        name: tensor.clone()
        for name, tensor in named_tensors(net.plain_module.members).items()
    }


def assert_same_tensors(first, second):
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        torch.testing.assert_close(tensor, second[name], rtol=1e-12, atol=1e-12)


# -- batches side by side --------------------------------------------------------------


@pytest.mark.parametrize(
    "rows_of", [None, sparse.csr_array(X)], ids=["dense", "sparse"]
)
@pytest.mark.parametrize(
    ("lams", "n_blocks"), [(((0.0, 1.0), (0.0, 1.0)), 2), (((0.0, 1.0), (0.5,)), 3)]
)
def test_rows_of_equally_long_batches(lams, n_blocks, rows_of, reseed):
    """One block a stream where all have equally many ensembles, else one a group."""
    floor = Floor(reseed, member(), EVEN, lams, rows_of)
    groups = floor.groups()

    batch = Collator(groups).collate([torch.arange(5), torch.arange(10, 15)])

    starts = [0, 40] if n_blocks == 2 else [0, 0, 40]
    assert batch.inputs.shape == (n_blocks, 5, 6)
    for block, start in zip(batch.inputs, starts, strict=True):
        np.testing.assert_array_equal(block, X[start : start + 5])
    starts = [0 if group.stream is floor.streams[0] else 40 for group in groups]
    for y, start in zip(batch.y, starts, strict=True):
        np.testing.assert_array_equal(y, Y[start : start + 5])
    assert batch.weight is None
    assert batch.sizes == [5] * len(groups)


def test_rows_of_batches_of_different_lengths(reseed):
    floor = Floor(reseed, member(), EVEN, ((0.0, 1.0), (0.5,)))

    batch = Collator(floor.groups()).collate([torch.arange(5), torch.arange(10, 13)])

    assert [len(block) for block in batch.inputs] == [5, 5, 3]
    np.testing.assert_array_equal(batch.inputs[2], X[40:43])
    np.testing.assert_array_equal(batch.weight, [[1] * 5, [1] * 5, [1, 1, 1, 0, 0]])
    np.testing.assert_array_equal(batch.y[2], [*Y[40:43], 0, 0])
    assert batch.sizes == [5, 5, 3]


@pytest.mark.parametrize("bootstrap", [False, True])
def test_rows_of_streams_have_the_weights_of_their_own_stream(bootstrap, reseed):
    weight = np.arange(60.0) + 1
    net = member(train_split=ValidSplit(4))
    floor = Floor(
        reseed, net, EVEN, ((0.0,), (1.0,)), weight=weight, bootstrap=bootstrap
    )
    groups = floor.groups()
    index = [torch.tensor([3, 7]), torch.tensor([1])]

    train = Collator(groups).collate(index).weight
    valid = Collator(groups, validation=True).collate(index).weight

    # They count relative to the largest of a stream's rows.
    largest = [weight[rows].max() for rows in EVEN]
    expected = np.array([[4.0, 8.0], [32.0, 0.0]]) / np.c_[largest]
    np.testing.assert_allclose(valid, expected)
    if bootstrap:
        counts = [trial.member_rows.bags for trial in floor.trials]
        counts = np.stack([counts[0][:, [3, 7]], np.c_[counts[1][:, 1], np.zeros(2)]])
        np.testing.assert_allclose(train, expected[:, None] * counts)
    else:
        np.testing.assert_allclose(train, expected)


# -- a program -------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.SGD])
def test_who_is_left_goes_on_as_if_the_others_had_never_been(optimizer, reseed):
    settings = {"optimizer__momentum": 0.9} if optimizer is torch.optim.SGD else {}
    net = member(optimizer=optimizer, lr=0.1, **settings)
    ends = []
    for lams, leave in (((0.0, 0.5, 1.0), True), ((0.5,), False)):
        floor = Floor(reseed, net, EVEN[:1], (lams,))
        groups = floor.groups()
        program = GroupRun(floor.prototype, groups)
        for start in range(0, 20, 5):
            batch = Collator(program.groups).collate([torch.arange(start, start + 5)])
            program.step(batch)
            if leave and start == 5:
                program.keep([1])
                assert [group.net.lam_ for group in program.groups] == [0.5]
        program.hand_back(0)
        ends.append(tensors(program.groups[0].net))

    assert_same_tensors(*ends)


def test_a_group_is_handed_its_own_weights(reseed):
    floor = Floor(reseed, member_of(Normalized), EVEN, ((0.0, 1.0), (0.0, 1.0)))
    starts = [tensors(net) for nets in floor.nets for net in nets]
    program = GroupRun(floor.prototype, floor.groups())
    batch = Collator(program.groups).collate([torch.arange(9), torch.arange(9)])
    program.step(batch)

    program.hand_back(2)

    for g, (group, start) in enumerate(zip(program.groups, starts, strict=True)):
        moved = [
            name
            for name, tensor in tensors(group.net).items()
            if not torch.equal(tensor, start[name])
        ]
        assert len(moved) == (len(start) if g == 2 else 0)


@pytest.mark.core
def test_a_trained_group_is_a_net_that_was_trained_alone(reseed):
    net = member((5, 4), dropout=0.3, train_split=ValidSplit(4))
    floor = Floor(reseed, net, UNEVEN, ((0.0, 0.9), (0.5,)))
    groups = train_groups(
        floor.prototype, list(zip(floor.streams, floor.nets, strict=True))
    )

    alone = Floor(reseed, net, UNEVEN, ((0.0, 0.9), (0.5,)))
    for group, (trial, own) in zip(
        groups,
        (
            (trial, own)
            for trial, nets in zip(alone.trials, alone.nets, strict=True)
            for own in nets
        ),
        strict=True,
    ):
        reseed(trial.training_seed)
        own.partial_fit(X[trial.rows], Y[trial.rows])
        assert group.error is None
        assert_same_tensors(tensors(group.net), tensors(own))
        for name in ("train_loss", "valid_loss", "valid_acc", "train_diversity"):
            assert group.net.history[:, name] == pytest.approx(own.history[:, name])


# -- what can be one program -----------------------------------------------------------


NETS = {
    "plain": member(),
    "dropout": member((6,), dropout=0.5),
    "normalized": member_of(Normalized),
    "normalized, with validation": member_of(Normalized, train_split=ValidSplit(3)),
    "schedule": member(callbacks=[LRScheduler(lr_scheduler.StepLR, step_size=1)]),
}


@pytest.mark.parametrize(
    ("name", "sizes", "expected"),
    [
        ("plain", (20, 15), True),
        ("dropout", (20, 15), True),
        ("normalized", (20, 20), True),
        ("normalized", (20, 19), False),
        ("normalized, with validation", (20, 20), True),
        ("normalized, with validation", (20, 19), False),
        ("schedule", (20, 18), True),  # two batches
        ("schedule", (20, 15), False),
    ],
)
def test_which_streams_can_be_in_one_program(name, sizes, expected, reseed):
    rows = [np.arange(size) for size in sizes]
    floor = Floor(reseed, NETS[name], rows, ((0.0,), (0.0,)))
    first, second = (batches_alike(floor.net, stream) for stream in floor.streams)

    assert (first == second) is expected
    assert why_one_by_one(floor.net, floor.shop.dataset(floor.net)) is None


# -- memory ----------------------------------------------------------------------------


def together(reseed, net, budget, batch=16):
    floor = Floor(reseed, net, EVEN[:1], ((0.0,),))
    return groups_within(budget, floor.net, floor.shop.dataset(floor.net), batch)


@pytest.mark.parametrize("net", [member((200,)), member_of(Normalized)])
def test_more_memory_takes_more_ensembles_and_none_takes_one(net, reseed):
    few, many, most = (together(reseed, net, budget) for budget in (1, 1e8, 2e8))

    assert few == 1
    assert many > 10
    # But for what is needed besides, twice the memory takes twice as many.
    assert 2 * many <= most <= 2.1 * many


@pytest.mark.quick(3)
@pytest.mark.parametrize("hidden", [(8,), (200,), (50, 50)], ids=str)
@pytest.mark.parametrize("batch", [10, 1000])
def test_ensembles_that_fit_leave_room_for_what_a_step_takes(hidden, batch, reseed):
    budget = 1e9
    net = member(hidden)
    floor = Floor(reseed, net, EVEN[:1], ((0.0,),))
    weights = sum(tensor.nbytes for tensor in tensors(floor.net).values())
    # Rows, hidden units and logits of 2 members, in float64, and their gradients.
    activations = batch * 2 * 8 * 2 * (sum(hidden) + 2)

    n_ensembles = together(reseed, net, budget, batch)

    # Weights, gradients, and Adam's two moments.
    assert n_ensembles * (4 * weights + activations) < budget
    assert n_ensembles > budget / (20 * weights + 5 * activations)


def test_measuring_leaves_weights_and_running_statistics_alone(reseed):
    floor = Floor(reseed, member_of(Normalized), EVEN[:1], ((0.0,),))
    before = tensors(floor.net)

    groups_within(1e9, floor.net, floor.shop.dataset(floor.net), 16)

    assert_same_tensors(tensors(floor.net), before)


def test_free_memory_is_a_part_of_what_is_there(device):
    total = psutil.virtual_memory().total
    if device == "cuda":
        _, total = torch.cuda.mem_get_info()

    assert 0 < free_memory(device) < total / 2
