"""Members that do what most do not: write to their input, skip layers, switch modes."""

import pickle

import numpy as np
import pytest
import torch
from tools import skorch_net
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, prune

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import vectorize_members


def ensemble(module, **params):
    settings = {"max_epochs": 2, "lr": 0.05, "batch_size": 100}
    net = skorch_net(module, **{**settings, **params})
    return JointEnsembleClassifier(net, n_estimators=3, lam=0.9, random_state=0)


class Writes(nn.Module):
    """Subtracts from its input in place."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        x -= 0.5
        return self.linear(x)


class BeginsInPlace(Writes):
    """Begins with an activation in place."""

    def forward(self, x):
        return self.linear(F.relu(x, True))


@pytest.mark.parametrize("module", [Writes, BeginsInPlace])
def test_members_that_write_to_their_input_leave_the_users_array_alone(digits, module):
    """They shared the array among them, and changed it at every prediction."""
    X, y = digits
    before = X.copy()
    clf = ensemble(module, iterator_train__shuffle=False).fit(X, y)
    proba = clf.predict_proba(X)
    alone = [net.predict(X) for net in clf.estimators_]
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(clf.predict_proba(X), proba)
    with torch.no_grad():
        logits = [net.module_(torch.as_tensor(X.copy())) for net in clf.estimators_]
    expected = torch.softmax(torch.stack(logits).mean(0), 1)
    np.testing.assert_allclose(proba, expected, atol=1e-6)
    for predicted, own in zip(alone, logits, strict=True):
        np.testing.assert_array_equal(predicted, own.argmax(1))

    again = pickle.loads(pickle.dumps(clf))
    np.testing.assert_array_equal(again.predict_proba(X), proba)
    np.testing.assert_array_equal(X, before)


def test_members_may_write_to_rows_of_a_read_only_map(digits, tmp_path):
    """The process died: the member wrote to pages that cannot be written to."""
    X, y = digits
    np.save(tmp_path / "X.npy", X)
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    clf = ensemble(Writes, iterator_train__shuffle=False).fit(mapped, y)
    assert clf.predict(mapped).shape == clf.estimators_[0].predict(mapped).shape


@pytest.mark.parametrize(
    "change",
    [
        parametrizations.spectral_norm,
        parametrizations.weight_norm,
        lambda layer: prune.random_unstructured(layer, "weight", 0.3),
    ],
    ids=["spectral_norm", "weight_norm", "pruned"],
)
def test_layers_whose_weight_is_computed_can_be_trained(digits, change):
    class Member(nn.Module):
        def __init__(self):
            super().__init__()
            self.convolution = change(nn.Conv2d(1, 4, 3))
            self.linear = change(nn.Linear(144, 10))

        def forward(self, x):
            return self.linear(self.convolution(x).flatten(1))

    X, y = digits
    images = X.reshape(-1, 1, 8, 8)
    clf = ensemble(Member).fit(images, y)
    with torch.no_grad():
        logits = [net.module_(torch.as_tensor(images)) for net in clf.estimators_]
    expected = torch.softmax(torch.stack(logits).mean(0), 1)
    np.testing.assert_allclose(clf.predict_proba(images), expected, atol=1e-6)


class StochasticDepth(nn.Module):
    """Leaves a layer out of every other training step."""

    def __init__(self):
        super().__init__()
        self.linear, self.block = nn.Linear(64, 16), nn.Linear(16, 16)
        self.output = nn.Linear(16, 10)

    def forward(self, x):
        x = torch.relu(self.linear(x))
        if not self.training or torch.rand(()) < 0.5:
            x = x + self.block(x)
        return self.output(x)


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
def test_layers_that_are_left_out_of_some_steps_can_be_trained(digits, optimizer):
    """Fused SGD failed at a weight that had no gradient in the step before."""
    X, y = digits
    momentum = {"optimizer__momentum": 0.9} if optimizer is torch.optim.SGD else {}
    clf = ensemble(StochasticDepth, optimizer=optimizer, **momentum).fit(X, y)
    assert clf.vectorization_.method == "loop"
    assert np.isfinite(clf.history_[-1, "train_loss"])


class Images(nn.Module):
    def __init__(self, dilation=1):
        super().__init__()
        self.convolution = nn.Conv2d(1, 4, 3, dilation=dilation, padding=dilation)
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return self.linear(F.max_pool2d(self.convolution(x), 2).flatten(1))


def test_a_net_with_functional_pooling_can_be_pickled(digits):
    X, y = digits
    images = X.reshape(-1, 1, 8, 8)
    clf = ensemble(Images).fit(images, y)
    assert clf.vectorization_.method == "structural"
    net = pickle.loads(pickle.dumps(clf.net_))
    np.testing.assert_array_equal(
        net.predict_proba(images), clf.net_.predict_proba(images)
    )


def test_members_whose_layers_differ_in_a_tuple_are_not_stacked():
    """Only the first, the middle and the last member are compared in numbers."""
    modules = [Images(dilation=2 if j == 1 else 1) for j in range(5)]
    vectorized = vectorize_members(modules, example=torch.zeros(5, 1, 8, 8))
    assert vectorized.method == "loop"
    assert "members differ in 'convolution." in vectorized.reason


def with_activation(activation):
    module = nn.Sequential(nn.Linear(4, 3))
    module.activation = activation
    return module


def test_members_whose_functions_differ_are_not_stacked():
    modules = [with_activation(f) for f in (torch.relu, torch.tanh)]
    assert "members differ in 'activation'" in vectorize_members(modules).reason
    scaled = [with_activation(lambda x, s=s: s * x) for s in (1.0, 2.0)]
    assert "members differ in 'activation'" in vectorize_members(scaled).reason
    alike = [with_activation(lambda x: 2 * x) for _ in range(2)]
    assert vectorize_members(alike).method == "structural"


class PartlyFixed(nn.Module):
    """Trains its second layer only."""

    def __init__(self):
        super().__init__()
        self.fixed, self.output = nn.Linear(64, 8), nn.Linear(8, 10)

    def forward(self, x):
        with torch.no_grad():
            x = self.fixed(x)
        return self.output(x)


class PartlyExact(PartlyFixed):
    """Computes its first layer in float32 whatever autocast says."""

    def forward(self, x):
        with torch.autocast("cpu", enabled=False):
            x = self.fixed(x)
        return self.output(x)


@pytest.mark.parametrize("module", [PartlyFixed, PartlyExact])
def test_blocks_that_switch_gradients_or_autocast_are_not_forgotten(module):
    """A trace keeps the calls within such a block, and not the block."""
    modules = [module() for _ in range(3)]
    with pytest.raises(ValueError, match="switches gradients or autocast"):
        vectorize_members(modules, "structural")
    x = torch.randn(5, 64)
    vectorized = vectorize_members(modules, example=x)
    with torch.autocast("cpu", torch.bfloat16):
        found, expected = vectorized(x), torch.stack([m(x) for m in modules])
    torch.testing.assert_close(found.float(), expected.float(), atol=2e-2, rtol=0)
    vectorized(x).sum().backward()
    fixed = dict(vectorized.members.named_parameters())["fixed.weight"]
    assert (fixed.grad is None) == (module is PartlyFixed)


class Aliased(nn.Module):
    """Changes what it has flattened, and goes on with what it flattened."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv1d(1, 2, 3)
        self.activation = nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.convolution(x)
        self.activation(x.flatten(1))
        return x.sum(2)


def test_writing_to_what_has_another_name_is_refused():
    with pytest.raises(ValueError, match="writes to what has another name"):
        vectorize_members([Aliased() for _ in range(2)], "structural")


def test_predictions_leave_no_rows_out(digits):
    X, y = digits
    clf = ensemble(BeginsInPlace, iterator_valid__drop_last=True).fit(X, y)
    assert len(clf.predict(X)) == len(clf.estimators_[0].predict(X)) == len(X)


def test_a_lone_row_under_batch_normalization_names_the_batch_size(digits):
    X, y = digits

    class Member(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Linear(64, 8), nn.BatchNorm1d(8), nn.Linear(8, 10))

    clf = ensemble(Member)
    with pytest.raises(ValueError, match=r"'batch_size' parameter .* Got 100 instead"):
        clf.fit(X[:101], y[:101])
    assert not hasattr(clf, "estimators_")


def test_modes_of_layers_survive_the_fit():
    """The first member's layers were all set to the mode of the whole."""

    class Frozen(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm = nn.BatchNorm1d(4).eval()
            self.linear = nn.Linear(4, 2)

        def forward(self, x):
            return self.linear(self.norm(x))

    X, y = np.random.RandomState(0).rand(20, 4).astype("float32"), np.arange(20) % 2
    assert ensemble(Frozen).fit(X, y).vectorization_.method == "structural"


class KeepsNormFixed(nn.Module):
    """Keeps its normalization in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.norm = nn.BatchNorm1d(4)

    def forward(self, x):
        return self.norm(x)

    def train(self, mode=True):
        super().train(mode)
        self.norm.eval()
        return self


def test_a_members_own_train_is_called():
    vectorized = vectorize_members([KeepsNormFixed() for _ in range(2)], "loop")
    vectorized.train()
    assert not any(member.norm.training for member in vectorized.members)


class Large(nn.Sequential):
    def __init__(self):
        pool = nn.AdaptiveAvgPool2d(1)
        super().__init__(
            nn.Conv2d(1, 16, 3), nn.ReLU(), pool, nn.Flatten(), nn.Linear(16, 10)
        )


def test_what_is_known_of_the_vectorization_is_kept(digits):
    X, y = digits
    images = np.repeat(X.reshape(-1, 1, 8, 8), 8, axis=2).repeat(8, axis=3)[:150]
    clf = ensemble(Large, max_epochs=1).set_params(precision="bf16")
    clf.fit(images, y[:150])
    assert clf.vectorization_.reason.startswith("loop in channels_last: ")
    for copied in (clf.drop_members([0]), pickle.loads(pickle.dumps(clf))):
        module = copied.net_.plain_module
        assert module.options == clf.vectorization_.options
        assert module.options["channels_last"]
        assert module.reason == clf.vectorization_.reason
        assert copied.net_.precision_ == "bf16"
