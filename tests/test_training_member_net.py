"""A member is the user's own skorch classifier, at home in scikit-learn."""

import copy
import pickle
from inspect import Parameter, Signature

import numpy as np
import pytest
import torch
from scipy import sparse
from sklearn.base import clone, is_classifier
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import EpochScoring
from skorch.dataset import ValidSplit
from tools import skorch_net, three_classes
from torch import nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.training import (
    JointNet,
    MemberNet,
    MemberNetClassifier,
    copied_net,
    derived_net,
    targets_of,
    unfitted_net,
)
from sklearn_jointens.training._module_arguments import (
    CHANNELS_NAMES,
    INPUT_SIZE_NAMES,
    OUTPUT_SIZE_NAMES,
    sizes_from_data,
)


class Net(nn.Module):
    def __init__(self, n_features_in, n_classes, n_hidden=5, dtype=None):
        super().__init__()
        self.hidden = nn.Linear(n_features_in, n_hidden, dtype=dtype)
        self.out = nn.Linear(n_hidden, n_classes, dtype=dtype)

    def forward(self, X):
        return self.out(torch.relu(self.hidden(X)))


class UserNet(NeuralNetClassifier):
    """A user's own skorch class, with a parameter of its own."""

    def __init__(self, *args, shade=1, **kwargs):
        self.shade = shade
        super().__init__(*args, **kwargs)


@pytest.fixture
def data():
    return three_classes(60, ["a", "b", "c"])


def member(module=Net, cls=MemberNetClassifier, **params):
    return skorch_net(module, cls, **{"max_epochs": 3, "lr": 0.1, **params})


# -- sizes ---------------------------------------------------------------------------


def test_sizes_are_those_of_the_data():
    sizes = sizes_from_data(np.zeros((9, 3, 4, 5)), 7)
    assert {sizes[name] for name in INPUT_SIZE_NAMES} == {60}
    assert {sizes[name] for name in OUTPUT_SIZE_NAMES} == {7}
    assert {sizes[name] for name in CHANNELS_NAMES} == {3}
    assert sizes["dtype"] == "float64"
    flat = sizes_from_data(np.zeros((9, 4), np.float32), 1)
    assert {flat[name] for name in OUTPUT_SIZE_NAMES} == {1}
    assert not set(CHANNELS_NAMES) & set(flat)
    assert flat["dtype"] == "float32"


@pytest.mark.parametrize("name_in", INPUT_SIZE_NAMES)
@pytest.mark.parametrize("name_out", OUTPUT_SIZE_NAMES)
def test_every_documented_name_is_filled_in(data, name_in, name_out):
    def module():
        """A module class with arguments of these names."""

    names = [Parameter(n, Parameter.KEYWORD_ONLY) for n in (name_in, name_out)]
    module.__signature__ = Signature(names)
    net = member(module)
    net.observe(data[0], targets_of(net, data[1]))
    assert net.get_params_for("module") == {name_in: 6, name_out: 3}


def test_a_member_fills_in_its_sizes_and_speaks_the_labels(data):
    X, y = data
    net = member().fit(X, y)
    assert (net.module_.hidden.in_features, net.module_.out.out_features) == (6, 3)
    assert net.classes_.tolist() == ["a", "b", "c"]
    assert set(net.predict(X)) <= {"a", "b", "c"}
    assert net.score(X, y) == np.mean(net.predict(X) == y)
    np.testing.assert_allclose(net.predict_proba(X).sum(axis=1), 1, rtol=1e-5)
    assert is_classifier(net)


def test_what_the_prototype_sets_wins(data):
    X, y = data
    net = member(module__n_classes=8, module__n_hidden=2).fit(X, y)
    assert net.module_.out.weight.shape == (8, 2)
    double = member(module__dtype=torch.float64).fit(X, y)
    assert double.module_.out.weight.dtype == torch.float64
    assert double.predict_proba(X).dtype == np.float64


def test_torchs_own_layer_is_a_module_with_sizes(data):
    net = member(nn.Linear).fit(*data)
    assert net.module_.weight.shape == (3, 6)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int64, np.uint8, bool])
def test_a_member_takes_any_dtype(data, dtype):
    X = (np.abs(data[0]) * 3).astype(dtype)
    net = member().fit(X, data[1])
    expected = torch.float64 if dtype == np.float64 else torch.float32
    assert net.module_.hidden.weight.dtype == expected
    assert net.predict(X).shape == (60,)


@pytest.mark.parametrize("convert", [sparse.csr_array, sparse.csc_matrix, list])
def test_a_member_takes_sparse_matrices_and_lists(data, convert):
    X, y = data
    net = member().fit(X, y)
    np.testing.assert_allclose(
        net.predict_proba(convert(X)), net.predict_proba(X), rtol=1e-5
    )


def test_embeddings_are_given_integers():
    class Bag(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.table = nn.Embedding(10, n_classes)

        def forward(self, X):
            return self.table(X).mean(1)

    X = np.random.RandomState(0).randint(10, size=(40, 5))
    net = member(Bag).fit(X, X[:, 0] % 3)
    assert net.predict(X).shape == (40,)


def test_vectorized_embeddings_are_given_integers():
    """They were given floats, which no table takes: only plain ones were known."""

    class Table(nn.Module):
        def __init__(self, n_classes):
            super().__init__()
            self.table = nn.Embedding(10, 4)
            self.out = nn.Linear(4, n_classes)

        def forward(self, X):
            return self.out(self.table(X).mean(1))

    X = np.random.RandomState(0).randint(10, size=(40, 5))
    prototype = member(Table)
    clf = JointEnsembleClassifier(prototype, n_estimators=2).fit(X, X[:, 0] % 3)
    assert clf.vectorization_.method == "structural"
    assert clf.predict(X).shape == (40,)


# -- a member is the prototype -------------------------------------------------------


def test_a_member_trains_as_the_plain_skorch_class_does(data):
    X, y = data
    params = {
        "module__n_features_in": 6,
        "module__n_classes": 3,
        "iterator_train__shuffle": True,
        "train_split": ValidSplit(4, stratified=True),
        "batch_size": 16,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        plain = member(cls=NeuralNetClassifier, **params)
        plain.fit(X, np.unique(y, return_inverse=True)[1])
        torch.manual_seed(0)
        net = member(**params).fit(X, y)
    for name in ("train_loss", "valid_loss", "valid_acc"):
        assert net.history[:, name] == plain.history[:, name]
    np.testing.assert_array_equal(net.predict_proba(X), plain.predict_proba(X))
    np.testing.assert_array_equal(net.predict(X), net.classes_[plain.predict(X)])


@pytest.mark.parametrize("labels", [("no", "yes"), (3, 7), (False, True)])
def test_scorers_that_need_a_positive_class_work_while_it_trains(data, labels):
    """They compared encoded targets with the labels, in which 1 may be missing."""
    X, y = data
    y = np.where(y == "a", *labels)
    net = member(
        train_split=ValidSplit(4),
        callbacks=[EpochScoring("f1", name="f1"), EpochScoring("roc_auc", name="auc")],
    ).fit(X, y)
    _, valid = net.train_split(net.get_dataset(X, y), y)
    rows = valid.indices
    truth, found = y[rows] == labels[1], net.predict(X[rows]) == labels[1]
    assert set(net.classes_) == set(labels)
    assert net.history[-1, "f1"] == pytest.approx(
        2 * (truth & found).sum() / (truth.sum() + found.sum())
    )


def test_a_derived_class_is_the_users_own_with_its_parameters(data):
    prototype = member(cls=UserNet, shade=4, module__n_hidden=3)
    for mixin in (MemberNet, JointNet):
        net = derived_net(prototype, mixin)
        assert isinstance(net, mixin)
        assert isinstance(net, UserNet)
        assert type(net) is type(derived_net(prototype, mixin))
        assert (net.shade, net.module__n_hidden) == (4, 3)
    assert type(prototype) is UserNet
    assert not prototype.initialized_


def test_a_derived_net_shares_no_setting_that_can_be_copied():
    prototype = member(callbacks=[("f1", EpochScoring("f1"))], module=Net(6, 3))
    net = derived_net(prototype, MemberNet)
    assert net.callbacks[0][1] is not prototype.callbacks[0][1]
    assert net.module is not prototype.module
    unfitted = unfitted_net(prototype)
    assert type(unfitted) is type(prototype)
    assert unfitted.get_params()["lr"] == prototype.get_params()["lr"]


def test_a_setting_that_cannot_be_copied_is_shared(tmp_path):
    file = (tmp_path / "log").open("w")
    with file:
        assert derived_net(member(dataset__log=file), MemberNet).dataset__log is file


def test_members_can_be_trained_on_alone(data):
    X, y = data
    net = member().fit(X, y)
    before = net.predict_proba(X)
    net.partial_fit(X, y)
    assert len(net.history) == 6
    assert abs(net.predict_proba(X) - before).max() > 0
    assert set(net.predict(X)) <= {"a", "b", "c"}


# -- copies --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "copied",
    [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net)), copied_net],
    ids=["deepcopy", "pickle", "copied_net"],
)
@pytest.mark.parametrize("cls", [NeuralNetClassifier, UserNet, MemberNetClassifier])
def test_a_copy_predicts_the_same_with_weights_of_its_own(data, copied, cls):
    X, y = data
    net = derived_net(member(cls=cls), MemberNet).fit(X, y)
    again = copied(net)
    assert type(again) is type(net)
    np.testing.assert_array_equal(again.predict(X), net.predict(X))
    with torch.no_grad():
        again.module_.out.weight.zero_()
    assert abs(net.module_.out.weight).sum() > 0
    again.partial_fit(X, y)
    assert clone(again).get_params()["lr"] == 0.1


def test_a_pickle_holds_no_optimizer_state(data):
    net = member(optimizer=torch.optim.Adam).fit(*data)
    assert net.optimizer_.state
    again = pickle.loads(pickle.dumps(net))
    assert "optimizer_" not in vars(again)
    again.partial_fit(*data)
    parameters = again.optimizer_.param_groups[0]["params"]
    assert parameters[0] is next(again.module_.parameters())


@pytest.mark.parametrize(
    "place", ["cpu", "cpu:0", pytest.param("cuda", marks=pytest.mark.gpu)]
)
def test_a_copy_stays_on_its_device(data, place):
    """Pickles hold weights for the CPU; deepcopy went the same way and moved them."""
    net = member(device=place).fit(*data)
    again = copied_net(net)
    assert again.device == place
    assert pickle.loads(pickle.dumps(net)).device == "cpu"
    weight = next(again.module_.parameters())
    assert weight.device.type == torch.device(place).type
    np.testing.assert_allclose(
        again.predict_proba(data[0]), net.predict_proba(data[0]), atol=1e-6
    )


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_one_logit_member_is_told_one_output_and_trains_alone(data, dtype):
    X, y = data
    X, y = X.astype(dtype), np.where(y == "a", "x", "o")
    prototype = NeuralNetBinaryClassifier(Net, lr=0.1, train_split=None, verbose=0)
    net = derived_net(prototype, MemberNet).fit(X, y)
    assert net.module_.out.out_features == 1
    assert net.history[-1, "train_loss"] < net.history[0, "train_loss"]
    np.testing.assert_array_equal(
        net.predict(X), np.array(["o", "x"])[net.predict_proba(X).argmax(axis=1)]
    )
