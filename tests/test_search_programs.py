"""How a search is cut into programs, and who takes part in a step."""

import numpy as np
import pytest
from search_tools import (
    Keeper,
    Normalized,
    assert_equals_grid_search,
    assert_same_seen,
    member,
    member_of,
    search,
)
from sklearn.datasets import load_iris, make_classification
from sklearn.model_selection import TimeSeriesSplit
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit

from sklearn_jointens._search import _grid, _workshop
from sklearn_jointens.training.groups._run import GroupRun

LAMS = (0.0, 0.3, 0.6, 1.0)


@pytest.fixture
def data():
    return make_classification(
        n_samples=90, n_features=6, n_informative=4, n_classes=3, random_state=0
    )


@pytest.fixture
def members_of_steps(monkeypatch):
    """How many members took part in each step, so far."""
    counts = []
    step = GroupRun.step

    def counted(self, batch):
        parameters = self.module.named_parameters()
        counts.extend({parameter.shape[0] for _, parameter in parameters})
        return step(self, batch)

    monkeypatch.setattr(GroupRun, "step", counted)
    return counts


@pytest.fixture
def sizes(monkeypatch):
    """Memory is counted in ensembles; gives the number of them in each program."""
    counts = []
    train_groups = _grid.train_groups

    def counted(prototype, nets, *args):
        counts.append(sum(len(of_stream) for _, of_stream in nets))
        return train_groups(prototype, nets, *args)

    monkeypatch.setattr(_grid, "train_groups", counted)
    monkeypatch.setattr(
        _workshop, "groups_within", lambda budget, *_: max(1, int(budget))
    )
    return counts


# -- chunks ----------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("max_memory", "expected"),
    [
        (0.5, [1] * 12),
        (1, [1] * 12),
        (3, [3, 1] * 3),
        (4, [4] * 3),
        (7, [4] * 3),
        (8, [8, 4]),
        (12, [12]),
        (1e9, [12]),
    ],
)
def test_programs_keep_within_the_memory(max_memory, expected, sizes, data):
    fitted = search(lams=LAMS, max_memory=max_memory, refit=False).fit(*data)

    assert sizes == expected
    assert fitted.batching_.method == "program"
    assert fitted.batching_.n_programs == len(expected)


@pytest.mark.quick(1)
@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize("max_memory", [1, 3, 5])
@pytest.mark.parametrize("cv", [3, TimeSeriesSplit(3)], ids=["even", "unequal"])
def test_memory_changes_no_result(max_memory, cv, data):
    net = member(
        (6, 5),
        dropout=0.2,
        lr=0.1,
        max_epochs=6,
        train_split=ValidSplit(4),
        callbacks=[("stop", EarlyStopping(patience=1, load_best=True))],
    )
    whole, parts = Keeper(), Keeper()
    settings = {"estimator": net, "lams": LAMS, "cv": cv, "refit": False}

    search(scoring=whole.scorer(), **settings).fit(*data)
    search(scoring=parts.scorer(), max_memory=max_memory, **settings).fit(*data)

    assert_same_seen(parts, whole, atol=1e-9)


@pytest.mark.slow
def test_a_budget_is_counted_in_bytes(data):
    """Twice the members take twice the memory, so that half as many fit."""
    few, many = (
        search(lams=LAMS, max_memory=2e5, n_estimators=n, refit=False).fit(*data)
        for n in (3, 12)
    )

    assert many.batching_.n_programs > few.batching_.n_programs >= 1


@pytest.mark.slow
def test_processes_change_no_result(data):
    """Splits are divided among them, and results are put together in their order."""
    settings = {
        "cv": TimeSeriesSplit(4),
        "scoring": "neg_log_loss",
        "n_repeats": 2,
        "refit": False,
    }

    one, two = (search(n_jobs=n, **settings).fit(*data) for n in (None, 2))

    assert one.batching_.method == two.batching_.method == "program"
    assert two.batching_.n_programs == 2
    for name in ("score", "member_score", "diversity"):
        for i in range(one.n_splits_):
            np.testing.assert_allclose(
                two.cv_results_[f"split{i}_test_{name}"],
                one.cv_results_[f"split{i}_test_{name}"],
                rtol=1e-6,
            )


@pytest.mark.quick(1)
@pytest.mark.parametrize("n_rows", [91, 93])
def test_members_that_normalize_are_trained_with_folds_of_their_own_size(n_rows):
    X, y = make_classification(n_samples=n_rows, random_state=0)

    fitted = search(member_of(Normalized), refit=False).fit(X, y)

    n_sizes = 1 if n_rows % 3 == 0 else 2
    assert fitted.batching_.n_programs == n_sizes


# -- who leaves ------------------------------------------------------------------------


def test_stopped_ensembles_cost_nothing_more(members_of_steps, data):
    net = member(
        lr=0.3,
        max_epochs=15,
        train_split=ValidSplit(3),
        callbacks=[("stop", EarlyStopping(patience=1))],
    )
    keeper = Keeper()

    search(net, lams=LAMS, scoring=keeper.scorer(), refit=False).fit(*data)

    n_epochs = [len(seen["history train_loss"]) for seen in keeper.seen.values()]
    n_batches = [seen["history train_batch_count"][0] for seen in keeper.seen.values()]
    assert len(set(n_epochs)) > 1
    assert len(set(n_batches)) == 1
    # Two members each, in the steps of their own epochs and in no other.
    expected = [
        2 * sum(n > epoch for n in n_epochs)
        for epoch in range(max(n_epochs))
        for _ in range(n_batches[0])
    ]
    assert members_of_steps == expected


def test_all_take_part_until_the_end_where_none_stops(members_of_steps, data):
    search(lams=LAMS, refit=False).fit(*data)

    assert set(members_of_steps) == {len(LAMS) * 3 * 2}
    assert len(members_of_steps) == 3 * np.ceil(60 / 16)


def test_streams_of_different_lengths_take_no_steps_for_others(members_of_steps):
    X, y = load_iris(return_X_y=True)
    order = np.random.RandomState(0).permutation(150)
    cv = [(order[:20], order[100:120]), (order[:100], order[120:])]

    assert_equals_grid_search(member(), X, y, lams=(0.0, 1.0), cv=cv)

    short, long = (3 * int(np.ceil(n / 16)) for n in (20, 100))
    assert members_of_steps == [8] * short + [4] * (long - short)
