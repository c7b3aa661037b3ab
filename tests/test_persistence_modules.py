"""What a module of the user's own has learned beside its tensors is saved, or told."""

import copy

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens._persistence._alike import alike


def same(x):
    return x


class Own(nn.Module):
    """Its forward pass looks at plain attributes."""

    limits = (-5.0, 5.0)

    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.out = nn.Linear(n_features_in, n_classes)
        self.n_calls = 0
        self.temperature = 1.0
        self.names = ["a", ("b", None)]
        self.act = same
        self.register_buffer("seen", torch.zeros(2), persistent=False)

    def forward(self, x):
        return self.act(self.out(x).clamp(*self.limits) / self.temperature)


class Counting(Own):
    """Runs in a loop alone, and counts how often."""

    def forward(self, x):
        self.n_calls += 1
        return super().forward(x) if float(x.sum()) > -1e9 else x


class Extra(nn.Module):
    """A layer with a state that torch asks it for."""

    def __init__(self):
        super().__init__()
        self.scale = 1.0

    def get_extra_state(self):
        return {"scale": self.scale, "more": [torch.tensor([1, 2]), None]}

    def set_extra_state(self, state):
        assert torch.equal(state["more"][0], torch.tensor([1, 2]))
        self.scale = state["scale"]

    def forward(self, x):
        return x * self.scale


class WithExtra(Own):
    def __init__(self, n_features_in, n_classes):
        super().__init__(n_features_in, n_classes)
        self.act = Extra()


class TensorExtra(Extra):
    def get_extra_state(self):
        return torch.tensor(self.scale)

    def set_extra_state(self, state):
        self.scale = float(state)


class WithTensorExtra(Own):
    def __init__(self, n_features_in, n_classes):
        super().__init__(n_features_in, n_classes)
        self.act = TensorExtra()


class Tied(Own):
    """One parameter under two names, and shapes that ask for values."""

    def __init__(self, n_features_in, n_classes):
        super().__init__(n_features_in, n_classes)
        self.again = nn.Linear(n_features_in, n_classes)
        self.again.weight = self.out.weight
        self.width = int(torch.ones(3).sum().item())


class Referring(Own):
    """Has its parameters and layers in a list as well."""

    def __init__(self, n_features_in, n_classes):
        super().__init__(n_features_in, n_classes)
        self.names = [self.out.weight, {"layer": self.out}]


class Lazy(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.out = nn.LazyLinear(n_classes)

    def forward(self, x):
        return self.out(x)


def fitted(digits, module=Own):
    net = NeuralNetClassifier(
        module,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        max_epochs=1,
        lr=0.1,
        verbose=0,
    )
    clf = JointEnsembleClassifier(net, n_estimators=2, random_state=0)
    clf.fit(*digits)
    return clf, net


def modules(clf):
    return [member.module_ for member in clf.estimators_]


def changed(clf, **attributes):
    """A copy that predicts with these attributes of its members' modules."""
    clf = copy.deepcopy(clf)
    for module in modules(clf):
        for name, value in attributes.items():
            setattr(module, name, value)
    clf._assemble()
    return clf


@pytest.fixture
def path(tmp_path):
    return tmp_path / "ensemble"


def round_trip(clf, path, net):
    clf.save(path)
    return JointEnsembleClassifier.load(path, estimator=net)


# -- attributes ------------------------------------------------------------------------


def test_plain_attributes_come_back(digits, digits_test, path):
    """They were those of a new module."""
    X, _ = digits_test
    clf, net = fitted(digits)
    plain = {
        "n_calls": 7,
        "temperature": 0.5,
        "names": ["c", ("d", True)],
        "limits": (-1.0, 1.0),  # of the class before
        "since": {"a": 1.5},  # not there before
    }
    warm = changed(clf, **plain)

    again = round_trip(warm, path, net)

    for module in modules(again):
        assert {name: getattr(module, name) for name in plain} == plain
        assert type(module.names[1]) is tuple
    np.testing.assert_array_equal(again.predict_proba(X), warm.predict_proba(X))
    assert not np.allclose(again.predict_proba(X), clf.predict_proba(X))


def test_each_member_has_attributes_of_its_own(digits, path):
    clf, net = fitted(digits, Counting)
    for number, module in enumerate(modules(clf)):
        module.n_calls = number
    assert clf.vectorization_.method == "loop"

    again = round_trip(clf, path, net)

    assert [module.n_calls for module in modules(again)] == [0, 1]


def test_tensors_outside_the_state_dict_come_back(digits, path):
    clf, net = fitted(digits)
    clf = changed(clf, seen=torch.tensor([1.0, 2.0]), last=torch.tensor(3))

    again = round_trip(clf, path, net)

    for module in modules(again):
        assert torch.equal(module.seen, torch.tensor([1.0, 2.0]))
        assert "seen" in dict(module.named_buffers())
        assert "seen" not in module.state_dict()
        assert torch.equal(module.last, torch.tensor(3))


def test_frozen_parameters_stay_frozen(digits, path):
    clf, net = fitted(digits)
    for module in modules(clf):
        module.out.weight.requires_grad_(False)

    again = round_trip(clf, path, net)

    for module in modules(again):
        frozen = {name: p.requires_grad for name, p in module.named_parameters()}
        assert frozen == {"out.weight": False, "out.bias": True}


@pytest.mark.parametrize(
    ("value", "kind"),
    [(nn.Linear(2, 2), "list"), (np.ones(2), "ndarray"), ({1, 2}, "set")],
    ids="layer array set".split(),
)
def test_attributes_without_a_plain_form_are_refused_by_name(value, kind, digits, path):
    clf, _ = fitted(digits)
    value = [value] if kind == "list" else value
    clf = changed(clf, names=value)

    with pytest.raises(TypeError) as caught:
        clf.save(path)

    kind = "Linear" if kind == "list" else kind
    assert str(caught.value) == (
        "save() keeps None, bool, int, float, str, tuples, lists and dicts of them. "
        f"Got {kind} in 'module_.names' instead; use pickle or joblib."
    )


def test_an_attribute_that_is_gone_is_refused_by_name(digits, path):
    clf, _ = fitted(digits)
    del modules(clf)[1].n_calls

    with pytest.raises(TypeError, match=r"'module_\.n_calls'"):
        clf.save(path)


@pytest.mark.parametrize(
    "module", [Own, Tied, Referring, Lazy, WithExtra, WithTensorExtra]
)
def test_modules_come_back(module, digits, digits_test, path):
    """A module with an extra state could not be saved."""
    X, _ = digits_test
    clf, net = fitted(digits, module)

    again = round_trip(clf, path, net)

    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))
    for one, other in zip(modules(again), modules(clf), strict=True):
        expected = other.state_dict()
        assert alike(one.state_dict(), expected)


def test_tied_parameters_stay_tied(digits, path):
    clf, net = fitted(digits, Tied)

    again = round_trip(clf, path, net)

    for module in modules(again):
        assert module.again.weight is module.out.weight


def test_attributes_refer_to_parameters_as_they_did(digits, path):
    clf, net = fitted(digits, Referring)

    again = round_trip(clf, path, net)

    for module in modules(again):
        weight, layer = module.names[0], module.names[1]["layer"]
        assert weight is module.out.weight
        assert layer is module.out


def test_a_trained_instance_is_compared_with_its_prototype(digits, path):
    """The member's own module is the one that was trained."""
    net = NeuralNetClassifier(
        Own(64, 10),
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        max_epochs=1,
        verbose=0,
    )
    clf = JointEnsembleClassifier(net, n_estimators=2, bootstrap=True, random_state=0)
    clf = changed(clf.fit(*digits), n_calls=3)

    again = round_trip(clf, path, net)

    assert [module.n_calls for module in modules(again)] == [3, 3]


# -- extra states ----------------------------------------------------------------------


@pytest.mark.parametrize("module", [WithExtra, WithTensorExtra])
def test_an_extra_state_comes_back_by_the_module_itself(
    module, digits, digits_test, path
):
    X, _ = digits_test
    clf, net = fitted(digits, module)
    for one in modules(clf):
        one.act.scale = 0.25
    clf._assemble()

    again = round_trip(clf, path, net)

    assert [one.act.scale for one in modules(again)] == [0.25, 0.25]
    np.testing.assert_array_equal(again.predict_proba(X), clf.predict_proba(X))


def test_an_extra_state_without_a_plain_form_is_refused_by_name(digits, path):
    clf, _ = fitted(digits, WithExtra)
    modules(clf)[0].act.scale = object()

    with pytest.raises(TypeError, match=r"Got object in 'module_\.act\._extra_state'"):
        clf.save(path)


# -- what is told of a module that writes to its input ---------------------------------


class Writes(Own):
    def forward(self, x):
        return super().forward(x.mul_(0.5))


def test_a_loaded_member_leaves_the_array_of_the_user_alone(digits, digits_test, path):
    """A loaded member had forgotten that its module writes to its input."""
    X, _ = digits_test
    clf, net = fitted(digits, Writes)
    before = X.copy()

    again = round_trip(clf, path, net)

    expected = clf.estimators_[0].predict_proba(X)
    np.testing.assert_array_equal(again.estimators_[0].predict_proba(X), expected)
    np.testing.assert_array_equal(X, before)


# -- alike -----------------------------------------------------------------------------


def knot():
    whole = {"n": 1}
    whole["whole"] = whole
    return whole


ALIKE = [
    (float("nan"), float("nan")),
    (np.array([1, np.nan]), np.array([1, np.nan])),
    (torch.tensor([torch.nan]), torch.tensor([torch.nan])),
    ([1, {"a": (2,)}], [1, {"a": (2,)}]),
    (nn.ReLU(), nn.ReLU()),
    (knot(), knot()),
]
UNLIKE = [
    (1, 1.0),
    (1, True),
    (0.0, float("nan")),
    ([1], (1,)),
    ([1], [1, 2]),
    ({"a": 1}, {"b": 1}),
    (torch.zeros(2), torch.zeros(2, 1)),
    (torch.zeros(2), -torch.zeros(2)),
    (np.zeros(2), np.zeros(2, dtype=int)),
    (nn.Dropout(0.1), nn.Dropout(0.2)),
    (lambda x: x, lambda x: -x),
    (torch.float32, torch.float64),
]


@pytest.mark.parametrize(("one", "other"), ALIKE)
def test_equal_values_are_alike(one, other):
    assert alike(one, other)


@pytest.mark.parametrize(("one", "other"), UNLIKE)
def test_other_values_are_not(one, other):
    assert not alike(one, other)
