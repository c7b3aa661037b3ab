"""What cannot be one program is trained one by one, with the same results."""

import warnings

import numpy as np
import pytest
import torch
from search_tools import (
    Keeper,
    Normalized,
    assert_equals_grid_search,
    assert_same_seen,
    member,
    member_of,
    search,
)
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import Callback, EpochScoring, LRScheduler
from skorch.dataset import ValidSplit
from tools import OwnDataset, OwnLoader, two_classes
from torch import nn
from torch.optim import lr_scheduler

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.training import MemberNetClassifier
from sklearn_jointens.training.groups import _training
from sklearn_jointens.training.groups._run import GroupRun


@pytest.fixture
def data():
    return two_classes(90)


class Halving(Callback):
    """Lowers the learning rate when it pleases, and remembers that it did."""

    def on_train_begin(self, net, **kwargs):
        self.was_here_ = False

    def on_batch_end(self, net, training=False, **kwargs):
        if training and not self.was_here_:
            self.was_here_ = True
            for group in net.optimizer_.param_groups:
                group["lr"] /= 2


class OwnClipping(MemberNetClassifier):
    def train_step_single(self, batch, **fit_params):
        step = super().train_step_single(batch, **fit_params)
        for _, parameter in self.get_all_learnable_params():
            parameter.grad.clamp_(-0.01, 0.01)
        return step


class LastRows:
    """Splits off the last rows for validation."""

    def __call__(self, dataset, y=None, **kwargs):
        n = len(dataset)
        parts = np.split(np.arange(n), [n * 3 // 4])
        return tuple(torch.utils.data.Subset(dataset, part.tolist()) for part in parts)


class Own(nn.Module):
    """A layer that nobody has a vectorized form of."""

    def __init__(self, n_features_in, n_classes, dtype=None):
        super().__init__()
        shape = n_features_in, n_classes
        self.matrix = nn.Parameter(torch.randn(shape, dtype=dtype))

    def forward(self, x):
        return x @ self.matrix


class Loops(Own):
    """Its way depends on the values of its rows, which vmap cannot follow."""

    def forward(self, x):
        outputs = super().forward(x)
        return outputs if float(outputs.detach().sum()) > 0 else 2 * outputs


def own_class():
    params = member().get_params(deep=False)
    names = [name for name in params if not name.startswith("_")]
    return OwnClipping(**{name: params[name] for name in names})


REASONS = {
    "callback": (
        lambda: member(callbacks=[("halving", Halving())]),
        "the callback 'halving' (Halving) may have a state of its own",
    ),
    "scoring of batches": (
        lambda: member(
            callbacks=[("seen", EpochScoring("accuracy", name="seen", on_train=True))]
        ),
        "the callback 'seen' scores every training batch",
    ),
    "schedule that looks": (
        lambda: member(
            callbacks=[
                ("schedule", LRScheduler("ReduceLROnPlateau", monitor="train_loss"))
            ]
        ),
        "the callback 'schedule' may change the learning rates of ensembles in "
        "different ways",
    ),
    "schedule of batches": (
        lambda: member(
            callbacks=[
                (
                    "schedule",
                    LRScheduler(
                        lr_scheduler.CyclicLR,
                        base_lr=0.01,
                        max_lr=0.1,
                        cycle_momentum=False,
                        step_every="batch",
                    ),
                )
            ]
        ),
        "the callback 'schedule' changes the learning rate at every batch",
    ),
    "optimizer": (
        lambda: member(optimizer=torch.optim.Adafactor, batch_size=-1, max_epochs=1),
        "Adafactor may mix the entries of a tensor",
    ),
    "module": (lambda: member_of(Own), "(vmap: structural refused: "),
    "module that loops": (lambda: member_of(Loops), "(loop: structural refused: "),
    "class": (own_class, "OwnClipping may train in a way of its own"),
    "iterator": (
        lambda: member(iterator_train=OwnLoader),
        "'iterator_train' makes its batches in a way of its own",
    ),
    "iterator of validation": (
        lambda: member(iterator_valid=OwnLoader, train_split=ValidSplit(3)),
        "'iterator_valid' makes its batches in a way of its own",
    ),
    "data set": (
        lambda: member(dataset=OwnDataset),
        "'iterator_train' makes its batches in a way of its own",
    ),
    "split": (
        lambda: member(train_split=LastRows()),
        "'train_split' is neither skorch's ValidSplit nor MemberFolds",
    ),
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("name", REASONS)
def test_reason_is_told_and_results_are_the_same(name, data, capsys):
    make, reason = REASONS[name]

    fitted = assert_equals_grid_search(
        make(), *data, method="one by one", of_search={"verbose": 1}
    )

    assert reason in fitted.batching_.reason
    assert fitted.batching_.n_programs == 0
    line = f"Training 4 ensembles one by one: {fitted.batching_.reason}.\n"
    chosen = f"Chose lam={fitted.lam_:g}.\n"
    assert capsys.readouterr().out == line + chosen


@pytest.mark.slow
def test_generator_of_the_users_own(data):
    """It goes on from fit to fit, so that each has other batches."""
    generator = torch.Generator()
    net = member(iterator_train__generator=generator)

    fitted = search(net, refit=False).fit(*data)

    assert fitted.batching_.method == "one by one"
    assert "'iterator_train'" in fitted.batching_.reason


def test_compiled_members(data, monkeypatch):
    """What torch makes of them is not of interest here."""
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)

    fitted = search(member(compile=True), refit=False).fit(*data)

    assert fitted.batching_ == ("one by one", "members are compiled", 0)


@pytest.mark.slow
def test_processes_give_the_same_results(data):
    net = REASONS["callback"][0]()
    settings = {"scoring": "neg_log_loss", "n_estimators": 2, "random_state": 0}
    alone, together = (
        search(net, n_jobs=n_jobs, **settings).fit(*data) for n_jobs in (None, 2)
    )

    assert together.batching_ == alone.batching_
    assert together.lam_ == alone.lam_
    for name in ("score", "member_score", "diversity"):
        np.testing.assert_allclose(
            together.cv_results_[f"mean_test_{name}"],
            alone.cv_results_[f"mean_test_{name}"],
            rtol=1e-6,
        )


# -- programs that fail ----------------------------------------------------------------


def test_program_that_fails_in_the_middle_is_done_one_by_one(data, monkeypatch, capsys):
    step, n_steps = GroupRun.step, []

    def failing(self, batch):
        n_steps.append(1)
        if len(n_steps) == 3:
            raise RuntimeError("no memory left")
        return step(self, batch)

    monkeypatch.setattr(GroupRun, "step", failing)
    fitted = assert_equals_grid_search(
        member(), *data, method="one by one", of_search={"verbose": 1}
    )

    reason = "a program failed (RuntimeError: no memory left)"
    assert fitted.batching_ == ("one by one", reason, 0)
    assert capsys.readouterr().out == (
        "Training 4 ensembles as one program.\n"
        f"Training 4 ensembles one by one: {reason}.\n"
        f"Chose lam={fitted.lam_:g}.\n"
    )


@pytest.mark.slow
def test_a_program_that_fails_leaves_the_others_alone(data, monkeypatch):
    train_groups, n_programs = _training.train_groups, []

    def failing(*args):
        n_programs.append(1)
        if len(n_programs) == 2:
            raise RuntimeError("once")
        return train_groups(*args)

    monkeypatch.setattr("sklearn_jointens._search._grid.train_groups", failing)
    mixed, whole = Keeper(), Keeper()
    settings = {"refit": False, "max_memory": 1}
    fitted = search(scoring=mixed.scorer(), **settings).fit(*data)
    search(scoring=whole.scorer(), **settings).fit(*data)

    assert fitted.batching_.method == "both"
    assert fitted.batching_.n_programs == 8
    assert_same_seen(mixed, whole, atol=1e-9)


@pytest.mark.slow
def test_batch_of_one_row_that_cannot_be_normalized():
    """The training sets have 65 and 66 rows; the former leave a batch of one row."""
    X, y = two_classes(98)
    net = member_of(Normalized)
    outcomes = []
    for make in (
        lambda: search(net, refit=False),
        lambda: GridSearchCV(
            JointEnsembleClassifier(net, n_estimators=2, random_state=0),
            {"lam": [0.0, 0.5, 1.0]},
            cv=3,
            refit=False,
        ),
    ):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            outcomes.append(make().fit(X, y))
        failed = [w for w in caught if w.category is FitFailedWarning]
        assert "must not leave a batch of one row" in str(failed[0].message)
    ours, theirs = outcomes

    assert ours.batching_.n_programs == 1
    assert "more than 1 value per channel" in ours.batching_.reason
    for k in range(3):
        np.testing.assert_allclose(
            ours.cv_results_[f"split{k}_test_score"],
            theirs.cv_results_[f"split{k}_test_score"],
        )
