"""What a module keeps beside its tensors, and what others do to it, has its effect."""

import copy
import pickle

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from skorch.callbacks import Callback
from tools import skorch_net
from torch import nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import vectorize_members


def ensemble(module, **params):
    net = skorch_net(module, **{"max_epochs": 3, "lr": 0.1, **params})
    return JointEnsembleClassifier(net, n_estimators=3, random_state=0)


def successors(clf):
    """A fitted ensemble, and what is made of it."""
    return {
        "itself": clf,
        "a pickle": pickle.loads(pickle.dumps(clf)),
        "a copy": copy.deepcopy(clf),
        "without a member": clf.drop_members([2]),
    }


# -- what a callback sets --------------------------------------------------------------


class Gated(nn.Module):
    """Puts out nothing when its gate is closed."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 5), nn.Dropout(0.0))
        self.linear = nn.Linear(5, 3)
        self.gate = 1.0

    def forward(self, x):
        return self.linear(self.inner(x)) * self.gate


class GatedByVmap(Gated):
    """Has an operation that only vmap can run for all members."""

    def forward(self, x):
        return super().forward(x.sort(1).values) + torch.zeros(3)


class GatedInALoop(Gated):
    """Looks at its own weights, which only a loop can."""

    def forward(self, x):
        return super().forward(x if self.linear.bias.sum() < 100 else -x)


WAYS = [(Gated, "structural"), (GatedByVmap, "vmap"), (GatedInALoop, "loop")]


class Closes(Callback):
    """Closes the gate from the second epoch on, and opens the dropout."""

    def on_epoch_begin(self, net, **kwargs):
        if len(net.history) == 2:
            assert net.module_.gate == 1.0
            net.module_.gate = 0.0
            net.module_.inner[1].p = 0.5
            assert net.module_.gate == 0.0
            assert net.module_.inner[-1].p == 0.5


@pytest.mark.quick(1)
@pytest.mark.parametrize(("module", "way"), WAYS)
def test_what_a_callback_sets_in_the_module_holds_for_all_members(iris, module, way):
    """It raised an AttributeError, or was set where nothing looked at it."""
    X, y = iris
    clf = ensemble(module, callbacks=[Closes()]).fit(X, y)
    assert clf.vectorization_.method == way
    for name, one in successors(clf).items():
        assert_allclose(one.predict_proba(X), 1 / 3, atol=1e-6, err_msg=name)
        for member in one.estimators_:
            assert member.module_.gate == 0.0, name
            assert member.module_.inner[1].p == 0.5, name
            assert_allclose(member.predict_proba(X), 1 / 3, atol=1e-6)


@pytest.mark.parametrize(("module", "way"), WAYS)
def test_members_learn_as_they_would_alone_while_a_callback_sets_attributes(
    iris, module, way
):
    class Halves(Callback):
        def on_epoch_begin(self, net, **kwargs):
            net.module_.gate = net.module_.gate / 2

    X, y = iris
    clf = ensemble(module, callbacks=[Halves()]).set_params(n_estimators=2).fit(X, y)
    assert clf.vectorization_.method == way
    one = ensemble(module, callbacks=[Halves()]).set_params(n_estimators=1).fit(X, y)
    # Members are seeded one by one, so that the first is the same in both.
    for name, tensor in one.estimators_[0].module_.state_dict().items():
        other = clf.estimators_[0].module_.state_dict()[name]
        assert_allclose(other, tensor, atol=1e-6, err_msg=name)
    assert clf.estimators_[1].module_.gate == 1 / 8


def test_dropout_that_a_callback_opens_drops(iris):
    class Drops(Callback):
        def on_train_begin(self, net, **kwargs):
            net.module_.inner[1].p = 1.0

    X, y = iris
    clf = ensemble(Gated, callbacks=[Drops()]).fit(X, y)
    start = ensemble(Gated, max_epochs=0).fit(X, y)
    for member, before in zip(clf.estimators_, start.estimators_, strict=True):
        first, last = member.module_.inner[0], member.module_.linear
        # With all dropped, no gradient reaches the first layer.
        assert torch.equal(first.weight, before.module_.inner[0].weight)
        assert not torch.equal(last.bias, before.module_.linear.bias)


def test_what_cannot_be_set_in_all_members_is_refused_by_name():
    vectorized = vectorize_members([Gated() for _ in range(2)])
    with pytest.raises(AttributeError, match=r"'linear\.weight' is a tensor of each"):
        vectorized.linear.weight  # noqa: B018
    with pytest.raises(AttributeError, match="no attribute 'gates'"):
        vectorized.gates  # noqa: B018
    with pytest.raises(AttributeError, match="Got a Parameter instead"):
        vectorized.inner.scale = nn.Parameter(torch.ones(1))
    with pytest.raises(AttributeError, match=r"'linear\.forward' is a method of Lin"):
        vectorized.linear.forward  # noqa: B018
    with pytest.raises(AttributeError, match="'in_features' of VectorizedLinear"):
        vectorized.linear.in_features = 3
    before = vectorized(torch.ones(1, 4))
    with pytest.raises(AttributeError, match="'gate' of the members cannot be set to"):
        vectorized.gate = object()
    assert vectorized.gate == 1.0
    assert torch.equal(vectorized(torch.ones(1, 4)), before)


class KeepsContainers(nn.Module):
    """Reads its settings from a dict and a list."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.settings = {"gate": 1.0}
        self.scales = [1.0]

    def forward(self, x):
        return self.linear(x) * self.settings["gate"] * self.scales[0]


def test_what_would_be_put_into_a_container_of_one_member_is_refused():
    """It changed nothing, or one of the members."""
    vectorized = vectorize_members([KeepsContainers() for _ in range(2)])
    assert vectorized.settings["gate"] == 1.0
    with pytest.raises(TypeError, match="does not support item assignment"):
        vectorized.settings["gate"] = 0.0
    with pytest.raises(AttributeError, match="append"):
        vectorized.scales.append(2.0)
    vectorized.settings = {"gate": 0.0}
    assert not vectorized(torch.ones(1, 4)).any()


@pytest.mark.parametrize(("module", "way"), WAYS)
def test_a_callback_that_freezes_by_name_freezes_in_all_members(iris, module, way):
    """The names began with ours, so that nothing was frozen."""

    class Freezes(Callback):
        def on_train_begin(self, net, **kwargs):
            for name, parameter in net.module_.named_parameters():
                if name.startswith("inner.0."):
                    parameter.requires_grad_(False)

    X, y = iris
    clf = ensemble(module, callbacks=[Freezes()]).fit(X, y)
    assert clf.vectorization_.method == way
    start = ensemble(module, max_epochs=0).fit(X, y)
    for member, before in zip(clf.estimators_, start.estimators_, strict=True):
        first, last = member.module_.inner[0], member.module_.linear
        assert torch.equal(first.weight, before.module_.inner[0].weight)
        assert not torch.equal(last.weight, before.module_.linear.weight)


def test_selected_members_follow_what_is_set_later():
    whole = vectorize_members([Gated() for _ in range(3)])
    part = whole.select([2, 0])
    whole.gate = 0.5
    part.take_over(whole, torch.tensor([2, 0]))
    x = torch.ones(2, 4)
    assert torch.equal(part(x), whole(x)[[2, 0]])


# -- what a module does to itself ------------------------------------------------------


class Counts(nn.Module):
    """What it puts out depends on how often it has been trained."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.seen = {"batches": 0}

    def forward(self, x):
        if self.training:
            self.seen["batches"] += 1
        return self.linear(x) / (1 + self.seen["batches"])


def test_plain_state_of_modules_stays_with_the_members(iris):
    """Members, pickles, copies and warm starts began to count anew."""
    X, y = iris
    clf = ensemble(Counts).fit(X, y)
    assert clf.vectorization_.method == "loop"
    proba = clf.member_proba(X)
    for name, one in successors(clf).items():
        assert_array_equal(one.member_proba(X), proba[: len(one.estimators_)], name)
        for j, member in enumerate(one.estimators_):
            assert member.module_.seen == {"batches": 3}, name
            assert_allclose(member.predict_proba(X), proba[j], rtol=1e-6)
    clf.set_params(warm_start=True).fit(X, y)
    assert clf.estimators_[0].module_.seen == {"batches": 6}
    first = clf.estimators_[0].predict_proba(X)
    assert_allclose(first, clf.member_proba(X)[0], rtol=1e-5)


class HasHooks(nn.Module):
    """Learns nothing in the first row of its weight, and twice as fast in a bias."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)
        self.start = [p.tolist() for p in self.linear.parameters()]
        mask = torch.tensor([[0.0], [1.0], [1.0]])
        self.linear.weight.register_hook(lambda gradient: gradient * mask)
        self.linear.bias.register_post_accumulate_grad_hook(self.double)

    @staticmethod
    def double(bias):
        bias.grad *= 2

    def forward(self, x):
        return self.linear(x)


def test_hooks_on_parameters_act_in_training(iris):
    """They were dropped: the gradients of a masked row were not zero."""
    X, y = iris
    clf = ensemble(HasHooks).fit(X, y)
    assert clf.vectorization_.reason == "loop: 'linear.weight' has hooks"
    clf.set_params(warm_start=True, n_estimators=4).fit(X, y)
    for member in clf.estimators_:
        weight = member.module_.linear.weight.tolist()
        start, _ = member.module_.start
        assert weight[0] == start[0]
        assert weight[1:] != start[1:]


@pytest.mark.usefixtures("_seeded")
def test_a_member_with_hooks_learns_what_its_net_learns_alone(iris):
    X, y = iris
    clf = ensemble(HasHooks).fit(X, y)
    for member in clf.estimators_:
        alone = clf.estimator.initialize()
        with torch.no_grad():
            alone.module_.linear.weight.copy_(torch.tensor(member.module_.start[0]))
            alone.module_.linear.bias.copy_(torch.tensor(member.module_.start[1]))
        alone.partial_fit(X.astype(np.float32), y)
        for name, tensor in alone.module_.state_dict().items():
            assert_allclose(member.module_.state_dict()[name], tensor, atol=1e-6)


# -- modules that were refused or crashed ----------------------------------------------


class Scripted(nn.Module):
    """Has a part that is TorchScript."""

    def __init__(self):
        super().__init__()
        self.inner = torch.jit.script(nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5)))
        self.linear = nn.Linear(5, 3)

    def forward(self, x):
        return self.linear(torch.relu(self.inner(x)))


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_a_module_that_is_scripted_as_a_whole_trains(iris):
    """It was watched by a hook, which TorchScript has none of."""
    X, y = iris
    layers = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3))

    def module():
        return torch.jit.script(copy.deepcopy(layers))

    clf = ensemble(module).set_params(n_estimators=1).fit(X, y)
    assert_allclose(
        clf.estimators_[0].predict_proba(X), clf.predict_proba(X), rtol=1e-5
    )


@pytest.mark.filterwarnings("ignore:`torch.jit.script:DeprecationWarning")
def test_scripted_submodules_train(iris, tmp_path):
    """The optimizer refused their weights, which were no leaves of the graph."""
    X, y = iris
    clf = ensemble(Scripted).fit(X, y)
    assert clf.vectorization_.reason == "loop: 'inner' is a scripted module"
    proba = clf.member_proba(X)
    for j, member in enumerate(clf.estimators_):
        assert_allclose(member.predict_proba(X), proba[j], rtol=1e-5)
    assert_array_equal(clf.drop_members([0]).member_proba(X), proba[1:])
    weights = [next(m.module_.inner.parameters()).clone() for m in clf.estimators_]
    clf.set_params(warm_start=True).fit(X, y)
    for before, member in zip(weights, clf.estimators_, strict=True):
        assert not torch.equal(next(member.module_.inner.parameters()), before)


class DropsInPlace(nn.Module):
    """Begins with a dropout that writes to its input."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.2, inplace=True), nn.Linear(4, 3))

    def forward(self, x):
        return self.layers(x)


def test_a_first_dropout_in_place_trains(iris):
    """It failed in the first step, on rows that all members shared."""
    X, y = iris
    before = X.copy()
    clf = ensemble(DropsInPlace, iterator_train__shuffle=False).fit(X, y)
    assert_array_equal(X, before)
    first = clf.estimators_[0].predict_proba(X)
    assert_allclose(first, clf.member_proba(X)[0], rtol=1e-5)


class WritesInEvaluation(nn.Module):
    """Writes to its input when it predicts, and only then."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(4, 3)

    def forward(self, x):
        # Members that look at their weights run in a loop.
        if not self.training and self.linear.bias.sum() < 100:
            x -= 100.0
        return self.linear(x)


class WritesSometimes(WritesInEvaluation):
    """Writes to rows that are large, of which the first ones are none."""

    def forward(self, x):
        if x.max() > 1e6:
            x.clamp_(max=1e6)
        return self.linear(x)


@pytest.mark.parametrize("module", [WritesInEvaluation, WritesSometimes])
def test_no_prediction_writes_to_the_users_array(iris, module):
    """Only what was written in a first training pass was found."""
    X, y = iris
    X = X.astype(np.float32)
    X[-1] = 1e7
    before = X.copy()
    clf = ensemble(module, iterator_train__shuffle=False).fit(X, y)
    assert_array_equal(X, before)
    for one in (clf, *clf.estimators_):
        proba = one.predict_proba(X)
        assert_array_equal(X, before)
        assert_array_equal(one.predict_proba(X), proba)
    clf.score_members(X, y)
    assert_array_equal(X, before)


def test_a_member_net_on_its_own_does_not_write_to_the_users_array(iris):
    """A first layer in place overwrote the rows it was given."""
    X, y = iris
    X = X.astype(np.float32)
    before = X.copy()
    net = ensemble(DropsInPlace, iterator_train__shuffle=False).fit(X, y).estimators_[0]
    net.fit(X, y)
    net.predict_proba(X)
    assert_array_equal(X, before)
