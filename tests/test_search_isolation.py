"""A search leaves the world as it was."""

import copy
import pickle
import random

import numpy as np
import pytest
import torch
from search_tools import member, search
from sklearn.model_selection import GroupKFold
from skorch.dataset import ValidSplit
from tools import OwnCallback, two_classes

from sklearn_jointens.training import JointNet


@pytest.fixture
def data():
    return two_classes(60)


PROGRAM = {}
ONE_BY_ONE = {"callbacks": [("quiet", OwnCallback())]}
ways = pytest.mark.parametrize("way", [PROGRAM, ONE_BY_ONE], ids=["program", "alone"])


def world():
    """Global states as bytes and numbers."""
    return (
        random.getstate(),
        pickle.dumps(np.random.get_state()),
        torch.get_rng_state().tolist(),
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.is_grad_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.backends.mkldnn.enabled,
    )


@pytest.mark.quick(1)
@ways
@pytest.mark.parametrize("fails", [False, True])
def test_nothing_global_changes(way, fails, data, monkeypatch):
    net = member((6, 5), dropout=0.2, train_split=ValidSplit(3), **way)
    clf = search(net, bootstrap=True, n_repeats=2, random_state=None)
    random.seed(1)
    np.random.seed(2)
    torch.manual_seed(3)
    before = world()

    if fails:
        fail = _raising(TypeError("broken"))
        monkeypatch.setattr("sklearn_jointens._search._workshop.Workshop.net", fail)
        monkeypatch.setattr(JointNet, "train_step", fail)
        with pytest.raises((TypeError, ValueError), match="broken"):
            clf.fit(*data)
    else:
        assert clf.fit(*data).batching_.method == ("one by one" if way else "program")

    assert world() == before


def _raising(error):
    def fail(*args, **kwargs):
        raise error

    return fail


def test_global_states_do_not_matter(data):
    found = []
    for seed in (1, 2):
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        net = member((6, 5), dropout=0.2)
        found.append(search(net, bootstrap=True).fit(*data).predict_proba(data[0]))

    np.testing.assert_array_equal(*found)


@pytest.mark.quick(1)
@ways
def test_what_the_user_gave_is_unchanged(way, data):
    X, y = data
    weight = np.random.RandomState(0).uniform(size=60)
    groups = np.arange(60) % 3
    generator = np.random.RandomState(0)
    split = ValidSplit(0.3, random_state=generator)
    net = member(train_split=split, **way)
    lams = [0, 0.5]
    clf = search(net, lams=lams, cv=GroupKFold(3), class_weight={0: 1.0, 1: 2.0})
    given = [X, y, weight, groups, np.array(lams)]
    before = copy.deepcopy(given)
    params = clf.get_params(deep=False)
    of_net = net.get_params(deep=False)

    clf.fit(X, y, sample_weight=weight, groups=groups)

    for array, expected in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, expected)
    assert lams == [0, 0.5]
    after = clf.get_params(deep=False)
    assert all(after[name] is value for name, value in params.items())
    after = net.get_params(deep=False)
    assert after.keys() == of_net.keys()
    assert all(after[name] is value for name, value in of_net.items())
    assert not net.initialized_
    assert generator.randint(10**9) == np.random.RandomState(0).randint(10**9)


def test_read_only_rows_can_be_searched(data):
    X, y = data
    plain = search().fit(X, y)
    for array in (X, y):
        array.flags.writeable = False

    fitted = search().fit(X, y)

    np.testing.assert_array_equal(fitted.predict_proba(X), plain.predict_proba(X))
