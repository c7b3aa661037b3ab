"""CUDA's part of captured steps, and what it gives on a device.

The parts that are plain Python are run anywhere, with torch's CUDA functions stood in
for; nothing but a device can show that a capture holds what the step launched.
"""

import copy
import inspect
import itertools
import pickle
import warnings
from contextlib import contextmanager

import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import Callback, GradientNormClipping, LRScheduler
from skorch.dataset import ValidSplit
from tools import stacked_weights
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.training import _cuda_graph, _step_graph
from sklearn_jointens.training._cuda_graph import CudaGraphs, _capturable

COUNTED = ["Adadelta", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop"]


@pytest.fixture
def graphs(monkeypatch):
    monkeypatch.setattr(_cuda_graph, "_side_stream", lambda index: "side")
    return CudaGraphs("cuda:0")


class TestWatching:
    @pytest.fixture(autouse=True)
    def _mode(self, monkeypatch):
        self.modes = [1]
        monkeypatch.setattr(
            torch.cuda, "get_sync_debug_mode", lambda: self.modes[-1], raising=True
        )
        monkeypatch.setattr(
            torch.cuda, "set_sync_debug_mode", self.modes.append, raising=True
        )

    def test_says_where_a_step_waits(self, graphs):
        with graphs.watching() as waits:
            assert self.modes[-1] == "warn"
            warnings.warn("called a synchronizing CUDA operation", stacklevel=1)
        assert self.modes[-1] == 1
        assert [where.partition(":")[0] for where in waits] == [__file__]

    def test_hands_other_warnings_on(self, graphs):
        def step():
            with graphs.watching() as waits:
                warnings.warn("Synchronization debug mode is a prototype", stacklevel=1)
                warnings.warn("another", FutureWarning, stacklevel=1)
            return waits

        with pytest.warns(FutureWarning, match="another"):
            assert step() == []

    def test_puts_the_mode_back_after_an_error(self, graphs):
        with pytest.raises(ValueError, match="broken"), graphs.watching():
            raise ValueError("broken")
        assert self.modes[-1] == 1


def test_a_capture_runs_once_and_is_replayed_with_torchs_own_arguments(
    graphs, monkeypatch
):
    signature = inspect.signature(torch.cuda.graph.__init__)
    events = []

    class Graph:
        def replay(self):
            events.append("replay")

    @contextmanager
    def graph(*args, **kwargs):
        bound = signature.bind(None, *args, **kwargs).arguments
        events.append((bound["stream"], bound["capture_error_mode"]))
        yield
        events.append("end")

    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", graph)
    replay = graphs.capture(lambda: events.append("run") or "outputs")
    assert events == [("side", "thread_local"), "run", "end"]
    assert replay() == replay() == "outputs"
    assert events[3:] == ["replay", "replay"]


class TestCounters:
    @pytest.fixture(params=COUNTED)
    def optimizer(self, request):
        layer = nn.Linear(3, 2)
        optimizer = getattr(torch.optim, request.param)(layer.parameters(), lr=0.1)
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
        return optimizer

    def test_are_marked_for_the_block_and_kept(self, optimizer):
        before = copy.deepcopy(optimizer.state_dict())
        with _capturable(optimizer):
            assert all(group["capturable"] for group in optimizer.param_groups)
        after = optimizer.state_dict()
        assert after["param_groups"] == before["param_groups"]
        for index, state in before["state"].items():
            for name, value in state.items():
                assert torch.equal(after["state"][index][name], value)
        optimizer.step()

    def test_are_all_that_an_optimizer_keeps_on_the_host(self, optimizer):
        """A scalar of another name would be left behind, and never advance."""
        scalars = {
            name
            for state in optimizer.state.values()
            for name, value in state.items()
            if value.ndim == 0
        }
        assert scalars <= set(_cuda_graph._COUNTERS)

    def test_are_left_where_the_user_wants_them(self, optimizer):
        for group in optimizer.param_groups:
            group["capturable"] = True
        with _capturable(optimizer):
            pass
        assert all(group["capturable"] for group in optimizer.param_groups)


def test_optimizers_without_counters_are_left_alone():
    optimizer = torch.optim.SGD(nn.Linear(3, 2).parameters(), lr=0.1)
    groups = copy.deepcopy(optimizer.state_dict()["param_groups"])
    with _capturable(optimizer):
        assert optimizer.state_dict()["param_groups"] == groups


# -- on a device ---------------------------------------------------------------------


class ConvNet(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(2)
        )
        self.output = nn.Linear(16, n_classes)

    def forward(self, x):
        return self.output(self.features(x).flatten(1))


class Recurrent(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.cells = nn.GRU(8, 6, batch_first=True)
        self.output = nn.Linear(6, n_classes)

    def forward(self, x):
        return self.output(self.cells(x.squeeze(1))[0][:, -1])


class Waits(nn.Module):
    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.output = nn.Linear(n_features_in, n_classes)

    def forward(self, x):
        return self.output(x) / max(1.0, float(x.detach().max()))


def net_of(module=None, **params):
    params = {"max_epochs": 3, "batch_size": 32, **params}
    if module is None:
        return mlp_classifier((8,), **params)
    options = {"criterion": nn.CrossEntropyLoss, "train_split": None}
    return NeuralNetClassifier(module, **options, **params)


def fit(net, X, y, device="cuda", **params):
    params = {"n_estimators": 3, "random_state": 0, **params}
    return JointEnsembleClassifier(net, device=device, **params).fit(X, y)


def without_graphs(monkeypatch):
    monkeypatch.setattr(_step_graph, "GRAPHS", {})


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", [*COUNTED, "SGD"])
def test_replays_train_as_the_stock_steps_do(digits, optimizer, monkeypatch):
    net = net_of(optimizer=getattr(torch.optim, optimizer))
    replayed = fit(net, *digits)
    assert replayed.net_.stepping_ == "captured: 33 of 39 steps were replays"
    without_graphs(monkeypatch)
    stock = fit(net, *digits)
    for p, q in zip(stacked_weights(replayed), stacked_weights(stock), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize(
    "params",
    [
        {"callbacks": [("clip", GradientNormClipping(0.1))]},
        {"callbacks": [("lr", LRScheduler("StepLR", step_size=2, gamma=0.5))]},
        {"train_split": ValidSplit(5, stratified=True)},
        {"module": ConvNet},
        {"module": Recurrent},
        {"compile": True, "compile__backend": "aot_eager"},
    ],
    ids=["clipping", "schedule", "validation", "convolutions", "recurrent", "compiled"],
)
# Copies of recurrent layers that are never trained.
@pytest.mark.filterwarnings("ignore:RNN module weights are not part")
@pytest.mark.parametrize("bootstrap", [False, True])
def test_what_is_captured(digits, params, bootstrap, monkeypatch):
    X, y = digits
    X = X.reshape(-1, 1, 8, 8) if "module" in params else X
    net = net_of(**params)
    replayed = fit(net, X, y, bootstrap=bootstrap)
    assert replayed.net_.stepping_.startswith("captured")
    without_graphs(monkeypatch)
    stock = fit(net, X, y, bootstrap=bootstrap)
    for p, q in zip(stacked_weights(replayed), stacked_weights(stock), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_dropout_draws_anew_in_every_replay(digits):
    masks = []

    class Kept(Callback):
        def on_batch_end(self, net, y_pred, training, **kwargs):
            masks.append(y_pred.clone())

    # Weights do not move, all rows are in every batch: only dropout differs.
    net = net_of(
        module__dropout=0.5,
        lr=0.0,
        batch_size=-1,
        max_epochs=10,
        iterator_train__shuffle=False,
        callbacks=[("kept", Kept())],
    )
    clf = fit(net, *digits)
    assert clf.net_.stepping_.startswith("captured")
    assert not any(torch.equal(a, b) for a, b in itertools.pairwise(masks))
    first = list(masks)
    masks.clear()
    fit(net, *digits)
    assert all(map(torch.equal, first, masks))


@pytest.mark.gpu
def test_a_step_that_waits_is_left_to_the_stock_path(digits):
    clf = fit(net_of(Waits, optimizer=torch.optim.Adam), *digits)
    assert "a step waits for the device" in clf.net_.stepping_


@pytest.mark.gpu
def test_training_goes_on_after_a_failed_capture(digits, monkeypatch):
    def capture(self, function):
        def fails():
            function()
            torch.ones(1, device="cuda").item()  # not permitted in a capture

        return captured(self, fails)

    captured = CudaGraphs.capture
    monkeypatch.setattr(CudaGraphs, "capture", capture)
    clf = fit(net_of(), *digits)
    assert clf.net_.stepping_.startswith("stock: the capture failed")
    without_graphs(monkeypatch)
    stock = fit(net_of(), *digits)
    for p, q in zip(stacked_weights(clf), stacked_weights(stock), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", [torch.optim.Adam, torch.optim.NAdam])
def test_an_optimizer_is_afterwards_as_it_was(digits, optimizer):
    """Marked as capturable, it would refuse to go on with weights on the CPU."""
    clf = fit(net_of(optimizer=optimizer), *digits)
    assert clf.net_.stepping_.startswith("captured")
    copied = pickle.loads(pickle.dumps(clf.net_))
    for net in (clf.net_, copied):
        (group,) = net.optimizer_.param_groups
        assert group["capturable"] is False
        if not group.get("fused"):
            states = net.optimizer_.state.values()
            assert {state["step"].device.type for state in states} == {"cpu"}
    clf.partial_fit(*digits)
    assert clf.net_.stepping_.startswith("captured")
