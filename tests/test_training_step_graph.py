"""When training steps are captured, and that replaying them changes nothing.

Where there is no CUDA, what captures is stood in for: a "graph" that runs the captured
step again on the same buffers, and puts its results where the first ones were.
"""

import random
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from skorch import NeuralNetClassifier
from skorch.callbacks import (
    BatchScoring,
    Callback,
    Checkpoint,
    EarlyStopping,
    EpochScoring,
    Freezer,
    GradientNormClipping,
    LRScheduler,
    Unfreezer,
)
from skorch.dataset import ValidSplit
from tools import stacked_weights
from torch import nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import MLP
from sklearn_jointens.training import _step_graph
from sklearn_jointens.training._step_graph import StepGraph


class ReplayedByRunningAgain:
    """Captures on the CPU; of the real one, only the device is missing.

    As in a graph, weights, gradients and outputs stay where they were at the capture,
    and numbers what they were.
    """

    def __init__(self, device):
        self.device = device

    def stepping(self, optimizer):
        self.optimizer = optimizer
        groups = optimizer.param_groups
        self.parameters = [p for group in groups for p in group["params"]]
        return nullcontext()

    @contextmanager
    def watching(self):
        yield []

    @contextmanager
    def _as_then(self, constants):
        now = self._constants()
        self._set(constants)
        try:
            yield
        finally:
            self._set(now)

    def _constants(self):
        of_parameters = [(p.data, p.grad, p.requires_grad) for p in self.parameters]
        return of_parameters, [dict(group) for group in self.optimizer.param_groups]

    def _set(self, constants):
        of_parameters, groups = constants
        for parameter, values in zip(self.parameters, of_parameters, strict=True):
            parameter.data, parameter.grad, parameter.requires_grad = values
        for group, values in zip(self.optimizer.param_groups, groups, strict=True):
            group.update(values)

    def capture(self, function):
        for parameter in self.parameters:
            if parameter.grad is not None:
                parameter.grad = torch.zeros_like(parameter.grad)
        gradients = [parameter.grad for parameter in self.parameters]
        constants = self._constants()
        kept = []

        def replay():
            with self._as_then(constants):
                outputs = function()
                kept.extend([] if kept else [outputs])
                new = tensors_of(outputs)
                for old, value in zip(tensors_of(kept[0]), new, strict=True):
                    old.copy_(value)
                for parameter, old in zip(self.parameters, gradients, strict=True):
                    if old is not None:
                        old.copy_(parameter.grad)
            return kept[0]

        return replay


def tensors_of(outputs):
    if isinstance(outputs, torch.Tensor):
        return [outputs]
    if isinstance(outputs, dict):
        outputs = outputs.values()
    elif not isinstance(outputs, tuple):
        return []
    return [tensor for part in outputs for tensor in tensors_of(part)]


@pytest.fixture
def captures(monkeypatch):
    """Makes the CPU a device whose steps are captured."""

    def switch_on(graphs=ReplayedByRunningAgain):
        monkeypatch.setitem(_step_graph.GRAPHS, "cpu", graphs)

    return switch_on


def member(cls=NeuralNetClassifier, module=MLP, **params):
    defaults = {
        "criterion": nn.CrossEntropyLoss,
        "optimizer": torch.optim.Adam,
        "lr": 0.01,
        "max_epochs": 4,
        "batch_size": 32,
        "iterator_train__shuffle": True,
        "train_split": None,
    }
    if module is MLP:
        defaults["module__hidden_layer_sizes"] = (8,)
    return cls(module, **{**defaults, **params})


def fit(net, X, y, weight=None, **params):
    clf = JointEnsembleClassifier(net, n_estimators=3, random_state=0, **params)
    return clf.fit(X, y, sample_weight=weight)


def assert_same_fit(a, b):
    for p, q in zip(stacked_weights(a), stacked_weights(b), strict=True):
        assert torch.equal(p, q)
    for name in ("train_loss", "train_ensemble_loss", "train_member_accuracies"):
        assert a.history_[:, name] == b.history_[:, name]
    assert (
        a.history_[:, "batches", :, "train_loss"]
        == (b.history_[:, "batches", :, "train_loss"])
    )


class Recorder(Callback):
    """Keeps what it is given after each batch, and what it then was."""

    def __init__(self):
        self.kept = []

    def on_batch_end(self, net, training, **step):
        if not training:
            return
        step = {name: step[name] for name in ("loss", "y_pred", "terms")}
        step["gradients"] = tuple(p.grad for p in net.module_.parameters())
        step["mode"] = net.module_.training
        then = [tensor.detach().clone() for tensor in tensors_of(step)]
        gradients = len(step.pop("gradients"))
        self.kept.append((step, then[: len(then) - gradients], then))


def test_digits_have_a_partial_last_batch(digits):
    assert len(digits[0]) % 32


class Normalized(nn.Module):
    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features_in, 8),
            nn.BatchNorm1d(8),
            nn.Tanh(),
            nn.Linear(8, n_classes),
        )

    def forward(self, x):
        return self.layers(x)


CASES = {
    "adam": {},
    "sgd": {"optimizer": torch.optim.SGD, "optimizer__momentum": 0.9, "lr": 0.1},
    "whole": {"batch_size": -1, "max_epochs": 40},
    "schedule": {
        "callbacks": [("lr", LRScheduler("StepLR", step_size=1, gamma=0.5))],
        "batch_size": 8,
    },
    "validation": {"train_split": ValidSplit(5, stratified=True)},
    "clipping": {"callbacks": [("clip", GradientNormClipping(0.01))]},
    "unfreezing": {
        "callbacks": [("freeze", Freezer("*bias")), ("thaw", Unfreezer("*bias", at=3))]
    },
    "scoring": {
        "train_split": ValidSplit(5, stratified=True),
        "callbacks": [
            ("acc", EpochScoring("accuracy", on_train=True)),
            ("stop", EarlyStopping(patience=2, monitor="valid_loss")),
        ],
    },
    "compiled": {"compile": True, "compile__backend": "eager"},
    "batch norm": {"module": Normalized},
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("params", CASES.values(), ids=CASES)
@pytest.mark.parametrize("weighting", [None, "rows", "bootstrap"])
def test_replayed_steps_are_the_stock_steps(digits, captures, params, weighting):
    X, y = digits
    rows = np.linspace(0.1, 2, len(y)) if weighting == "rows" else None
    args = (member(**params), X, y, rows)
    stock = fit(*args, bootstrap=weighting == "bootstrap")
    captures()
    replayed = fit(*args, bootstrap=weighting == "bootstrap")
    assert stock.net_.stepping_.startswith("stock: steps are not captured on")
    assert replayed.net_.stepping_.startswith("captured: ")
    assert_same_fit(stock, replayed)


class TestWhatIsReplayed:
    def test_all_batches_of_the_first_ones_shape_after_a_warm_up(
        self, digits, captures
    ):
        captures()
        X, y = digits  # 400 rows: 12 batches of 32 and one of 16
        clf = fit(member(max_epochs=3), X, y)
        assert clf.net_.stepping_ == "captured: 33 of 39 steps were replays"

    def test_no_step_where_none_is_repeated(self, digits, captures):
        captures()
        clf = fit(member(batch_size=-1, max_epochs=3), *digits)
        assert clf.net_.stepping_ == "stock: no step was repeated often enough"

    def test_another_learning_rate_is_captured_anew(self, digits, captures):
        captures()
        schedule = LRScheduler("StepLR", step_size=2, gamma=0.5)
        clf = fit(member(callbacks=[("lr", schedule)], max_epochs=4), *digits)
        # 13 steps an epoch, one of them partial; two warm-ups of 3.
        assert clf.net_.stepping_ == "captured: 42 of 52 steps were replays"

    def test_a_schedule_over_batches_is_never_captured(self, digits, captures):
        captures()
        schedule = LRScheduler("CosineAnnealingLR", T_max=100, step_every="batch")
        clf = fit(member(callbacks=[("lr", schedule)]), *digits)
        assert clf.net_.stepping_ == "stock: no step was repeated often enough"

    def test_captures_end_when_they_are_seldom_replayed(self, digits, captures):
        captures()
        schedule = LRScheduler("StepLR", step_size=1, gamma=0.9)
        clf = fit(member(callbacks=[("lr", schedule)], max_epochs=9), *digits)
        assert "change too often" in clf.net_.stepping_
        # Of each of three epochs, 12 full batches less 3.
        assert clf.net_.stepping_.startswith("captured: 27 of 117")

    def test_another_lam_is_captured_anew(self, digits, captures):
        class Anneals(Callback):
            def on_epoch_begin(self, net, **kwargs):
                net.lam_ = 0.0 if len(net.history) < 3 else 1.0

        captures()
        clf = fit(member(callbacks=[("anneals", Anneals())]), *digits)
        assert clf.net_.stepping_ == "captured: 42 of 52 steps were replays"

    def test_a_change_of_lam_between_calls_is_followed(self, digits, captures):
        X, y = digits
        fits = []
        for _ in range(2):
            clf = fit(member(), X, y, lam=0.0)
            fits.append(clf.set_params(lam=1.0).partial_fit(X, y))
            captures()
        assert_same_fit(*fits)

    def test_steps_of_a_net_with_dropout(self, digits, captures):
        X, y = digits
        net = member(module__dropout=0.5)
        stock = fit(net, X, y)
        captures()
        replayed = fit(net, X, y)
        # On the CPU every draw is one on the host, which a graph would not repeat.
        assert replayed.net_.stepping_.startswith("stock: a step draws random numbers")
        assert_same_fit(stock, replayed)


class TestWhatCallbacksSee:
    def test_tensors_keep_their_values(self, digits, captures):
        captures()
        recorder = Recorder()
        clf = fit(member(callbacks=[("recorder", recorder)]), *digits)
        assert clf.net_.stepping_ == "captured: 45 of 52 steps were replays"
        assert len(recorder.kept) == 52
        for step, then, _ in recorder.kept:
            for now, before in zip(tensors_of(step), then, strict=True):
                assert torch.equal(now, before)

    def test_outputs_gradients_and_mode_are_those_of_the_stock_path(
        self, digits, captures
    ):
        split = ValidSplit(5, stratified=True)
        seen = []
        for _ in range(2):
            recorder = Recorder()
            net = member(
                callbacks=[("recorder", recorder)], train_split=split, batch_size=30
            )
            seen.append((fit(net, *digits), recorder.kept))
            captures()
        (_, stock), (clf, replayed) = seen
        assert len(stock) == 44
        assert clf.net_.stepping_ == "captured: 37 of 44 steps were replays"
        for (a, _, of_a), (b, _, of_b) in zip(stock, replayed, strict=True):
            assert a["mode"] is b["mode"] is True
            for p, q in zip(of_a, of_b, strict=True):
                assert torch.equal(p, q)

    def test_a_callback_that_moves_weights_is_followed(self, digits, captures):
        class Replaces(Callback):
            def on_batch_begin(self, net, training, **kwargs):
                if training and len(net.history) == 3:
                    weight = next(net.module_.parameters())
                    weight.data = weight.data.clone()

        net = member(callbacks=[("replaces", Replaces())])
        stock = fit(net, *digits)
        captures()
        assert_same_fit(stock, fit(net, *digits))

    def test_a_pickle_of_the_net_under_way_has_no_graph(
        self, digits, captures, tmp_path
    ):
        captures()
        keep = Checkpoint(
            monitor=None, f_pickle="net.pkl", f_history=None, dirname=str(tmp_path)
        )
        clf = fit(member(callbacks=[("keep", keep)]), *digits)
        assert clf.net_.stepping_.startswith("captured")
        assert (tmp_path / "net.pkl").stat().st_size > 0


class OwnStep(NeuralNetClassifier):
    def train_step(self, batch, **fit_params):
        return super().train_step(batch, **fit_params)


class OwnInfer(NeuralNetClassifier):
    def infer(self, x, **fit_params):
        return super().infer(x, **fit_params)


class Looks(Callback):
    def on_grad_computed(self, net, named_parameters, **kwargs):
        pass


class TestWhatStaysStock:
    @pytest.mark.quick(1)
    @pytest.mark.parametrize(
        ("net", "why"),
        [
            (lambda: member(cls=OwnStep), "OwnStep has a 'train_step' of its own"),
            (lambda: member(cls=OwnInfer), "OwnInfer has a 'infer' of its own"),
            (lambda: member(callbacks=[("looks", Looks())]), "callback 'looks' takes"),
            (lambda: member(optimizer=torch.optim.Adagrad), "Adagrad cannot be"),
            (
                lambda: member(optimizer__lr=torch.tensor(0.01)),
                "the optimizer's 'lr' is a tensor",
            ),
            (
                lambda: member(
                    compile=True,
                    compile__backend="eager",
                    compile__mode="reduce-overhead",
                ),
                "compiled in a way that may have graphs",
            ),
        ],
    )
    def test_says_why(self, digits, captures, net, why, capsys):
        X, y = digits
        stock = fit(net(), X, y)
        captures()
        left = fit(net(), X, y, verbose=1)
        assert left.net_.stepping_.startswith("stock: ")
        assert why in left.net_.stepping_
        assert why in capsys.readouterr().out
        assert_same_fit(stock, left)

    def test_batches_that_are_scored_one_by_one_are_no_hindrance(
        self, digits, captures
    ):
        captures()
        scoring = BatchScoring("accuracy", on_train=True)
        clf = fit(member(callbacks=[("acc", scoring)]), *digits)
        assert clf.net_.stepping_.startswith("captured")

    @pytest.mark.parametrize("draw", [torch.rand, random.random, np.random.rand])
    def test_a_step_that_draws_on_the_host(self, digits, captures, draw):
        class Draws(nn.Module):
            def __init__(self, n_features_in, n_classes):
                super().__init__()
                self.layer = nn.Linear(n_features_in, n_classes)

            def forward(self, x):
                assert len(x)  # which cannot be traced
                scale = float(draw(1) if draw is torch.rand else draw())
                return self.layer(x) * (scale if self.training else 1.0)

        captures()
        clf = fit(member(module=Draws), *digits)
        assert "draws random numbers on the host" in clf.net_.stepping_

    @pytest.mark.quick(1)
    @pytest.mark.parametrize("kind", ["number", "tensor", "buffer"])
    def test_a_module_that_changes_in_python(self, digits, captures, kind):
        class Counts(nn.Module):
            def __init__(self, n_features_in, n_classes):
                super().__init__()
                self.layer = nn.Linear(n_features_in, n_classes)
                self.kept = 1.0 if kind == "number" else torch.ones(())
                if kind == "buffer":
                    del self.kept
                    self.register_buffer("kept", torch.ones(()))

            def forward(self, x):
                assert len(x)  # which cannot be traced
                if self.training:
                    self.kept = self.kept * 0.9
                return self.layer(x) * self.kept

        net = member(module=Counts)
        stock = fit(net, *digits)
        captures()
        left = fit(net, *digits)
        assert "changes the module otherwise" in left.net_.stepping_
        assert_same_fit(stock, left)

    def test_a_module_with_hooks(self, digits, captures):
        class Hooked(MLP):
            def __init__(self, n_features_in, n_classes):
                super().__init__(n_features_in, n_classes, (4,))
                self.register_forward_hook(lambda module, args, output: None)

        captures()
        clf = fit(member(module=Hooked), *digits)
        assert clf.net_.stepping_ == "stock: the module has hooks"

    def test_a_step_that_waits_for_the_device(self, digits, captures):
        class Waits(ReplayedByRunningAgain):
            @contextmanager
            def watching(self):
                yield ["module.py:7"]

        captures(Waits)
        clf = fit(member(), *digits)
        reason = "stock: a step waits for the device (module.py:7)"
        assert clf.net_.stepping_ == reason

    def test_a_replaced_optimizer(self, digits, captures):
        class Replaces(Callback):
            def on_epoch_begin(self, net, **kwargs):
                if len(net.history) == 3:
                    net.set_params(criterion__reduction="mean")  # and a new optimizer

        net = member(callbacks=[("replaces", Replaces())])
        stock = fit(net, *digits)
        captures()
        left = fit(net, *digits)
        assert left.net_.stepping_.endswith("; the optimizer was replaced")
        assert_same_fit(stock, left)


class TestFailure:
    @pytest.mark.slow
    def test_a_failed_capture_costs_nothing(self, digits, captures):
        class Fails(ReplayedByRunningAgain):
            def capture(self, function):
                raise RuntimeError("operation not permitted\nwhen stream is capturing")

        stock = fit(member(), *digits)
        captures(Fails)
        left = fit(member(), *digits)
        assert left.net_.stepping_ == (
            "stock: the capture failed (RuntimeError: operation not permitted)"
        )
        assert_same_fit(stock, left)
        assert left.net_.step_graph_ is None

    def test_an_error_of_the_step_itself_is_raised(self, digits, captures):
        class Breaks(Callback):
            def on_batch_begin(self, net, training, **kwargs):
                if len(net.history[-1, "batches"]) == 7:
                    raise ValueError("broken")

        captures()
        clf = JointEnsembleClassifier(member(callbacks=[("breaks", Breaks())]))
        with pytest.raises(ValueError, match="broken"):
            clf.fit(*digits)

    def test_ctrl_c_leaves_what_was_learned(self, digits, captures):
        class Interrupts(Callback):
            def on_batch_begin(self, net, training, **kwargs):
                if len(net.history) == 3:
                    raise KeyboardInterrupt

        captures()
        clf = fit(member(callbacks=[("interrupts", Interrupts())]), *digits)
        assert clf.net_.stepping_.startswith("captured")
        assert clf.net_.step_graph_ is None
        assert clf.score(*digits) > 0.3


def test_a_graph_counts_only_its_own_fit(digits, captures):
    captures()
    X, y = digits
    clf = fit(member(), X, y)
    clf.partial_fit(X, y)
    assert clf.net_.stepping_ == "captured: 9 of 13 steps were replays"


def test_steps_with_arguments_of_the_forward_are_left_alone():
    taken = []
    net = type("Net", (), {"optimizer_": None, "callbacks_": []})()
    type(net).prototype_class = NeuralNetClassifier
    steps = StepGraph(net, lambda batch, **params: taken.append(params) or {}, None)
    assert steps.run((torch.ones(2, 1), torch.ones(2)), {"mask": 1}) == {}
    assert taken == [{"mask": 1}]
