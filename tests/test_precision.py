"""The `precision` parameter: what it changes while training, and what it leaves."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier
from skorch.callbacks import Callback
from skorch.dataset import ValidSplit
from tools import stacked_weights
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.training._precision import tf32_allowed


def fit(X, y, precision=None, net=None, **params):
    net = mlp_classifier((16,), max_epochs=10) if net is None else net
    params = {"n_estimators": 3, "random_state": 0, "device": "cpu", **params}
    return JointEnsembleClassifier(net, precision=precision, **params).fit(X, y)


def switches():
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    values = [matmul.allow_tf32, cudnn.allow_tf32]
    if hasattr(matmul, "fp32_precision"):
        parts = (matmul, cudnn.conv, cudnn.rnn)
        values += [part.fp32_precision for part in parts]
    return [*values, torch.get_float32_matmul_precision()]


class Watches(Callback):
    """Keeps the dtype that the module puts out, and what is asked of CUDA."""

    def __init__(self):
        self.dtypes, self.tf32 = {True: set(), False: set()}, {True: [], False: []}

    def on_train_begin(self, net, **kwargs):
        net.plain_module.register_forward_hook(self.look)

    def look(self, module, args, output):
        self.dtypes[module.training].add(output.dtype)

    def on_batch_end(self, net, training, **kwargs):
        matmul = torch.backends.cuda.matmul
        new = hasattr(matmul, "fp32_precision")
        self.tf32[training].append(
            matmul.fp32_precision == "tf32" if new else matmul.allow_tf32
        )


@pytest.mark.parametrize("precision", [None, "tf32", "bf16"])
def test_forward_passes_and_switches(digits, precision):
    watches = Watches()
    net = mlp_classifier(
        (8,), max_epochs=2, train_split=ValidSplit(5), callbacks=[("watches", watches)]
    )
    before = switches()
    clf = fit(*digits, precision, net)
    in_training = torch.bfloat16 if precision == "bf16" else torch.float32
    assert watches.dtypes == {True: {in_training}, False: {torch.float32}}
    assert set(watches.tf32[True]) == {precision == "tf32"}
    assert set(watches.tf32[False]) == {False}
    assert switches() == before
    assert {p.dtype for p in clf.net_.module_.parameters()} == {torch.float32}
    assert clf.predict_proba(digits[0]).dtype == np.float32


def test_bfloat16_learns_as_much(digits, digits_test):
    full, half = (fit(*digits, precision) for precision in (None, "bf16"))
    assert not all(map(torch.equal, stacked_weights(full), stacked_weights(half)))
    assert half.score(*digits_test) >= full.score(*digits_test) - 0.03
    losses = full.history_[-1, "train_loss"], half.history_[-1, "train_loss"]
    assert losses[1] == pytest.approx(losses[0], rel=0.05)


def test_float64_members_stay_as_they_are(digits):
    X, y = digits
    full, half = (fit(X.astype(float), y, precision) for precision in (None, "bf16"))
    for p, q in zip(stacked_weights(full), stacked_weights(half), strict=True):
        assert p.dtype == torch.float64
        assert torch.equal(p, q)


class Norms(nn.Module):
    def __init__(self, n_features_in, n_classes):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Linear(n_features_in, 16),
            nn.LayerNorm(16),
            nn.GELU(),
            nn.Linear(16, 16),
            nn.BatchNorm1d(16),
            nn.ReLU(),
            nn.Linear(16, n_classes),
        )

    def forward(self, x):
        return self.layers(x)


class Probabilities(Norms):
    def forward(self, x):
        return torch.softmax(self.layers(x), -1)


class OneLogit(Norms):
    def forward(self, x):
        return self.layers(x).squeeze(-1)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "net",
    [
        NeuralNetClassifier(Norms, criterion=nn.CrossEntropyLoss, train_split=None),
        NeuralNetClassifier(Probabilities, train_split=None),
        NeuralNetBinaryClassifier(OneLogit, train_split=None),
    ],
    ids=["logits", "probabilities", "one logit"],
)
def test_bfloat16_with_norms_and_every_criterion(digits, net):
    X, y = digits
    y = y if isinstance(net, NeuralNetClassifier) else y % 2
    net.set_params(lr=0.1, max_epochs=15, batch_size=32)
    full, half = (fit(X, y, precision, net) for precision in (None, "bf16"))
    assert half.score(X, y) > full.score(X, y) - 0.05


@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_settings_are_put_back_after_an_error(digits, precision):
    class Breaks(Callback):
        def on_batch_end(self, net, **kwargs):
            raise ValueError("broken")

    before = switches()
    net = mlp_classifier((8,), callbacks=[("breaks", Breaks())])
    with pytest.raises(ValueError, match="broken"):
        fit(*digits, precision, net)
    assert switches() == before
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.parametrize("allowed", [False, True])
def test_switches_that_were_set_by_their_older_names(allowed):
    matmul = torch.backends.cuda.matmul
    was = matmul.allow_tf32
    try:
        matmul.allow_tf32 = allowed
        before = switches()
        with tf32_allowed():
            pass
        assert switches() == before
        assert matmul.allow_tf32 is allowed
    finally:
        matmul.allow_tf32 = was


@pytest.mark.slow
def test_precision_is_a_parameter_like_any_other(digits, tmp_path):
    X, y = digits
    search = GridSearchCV(
        JointEnsembleClassifier(
            mlp_classifier((8,), max_epochs=2, device="cpu"),
            n_estimators=2,
            random_state=0,
        ),
        {"precision": [None, "bf16"]},
        cv=2,
    )
    assert len(search.fit(X, y).cv_results_["params"]) == 2
    clf = fit(X, y, "bf16")
    assert clone(clf).precision == "bf16"
    assert pickle.loads(pickle.dumps(clf)).precision == "bf16"
    clf.save(tmp_path / "model")
    loaded = JointEnsembleClassifier.load(tmp_path / "model", clf.estimator)
    assert loaded.precision == "bf16"
    # Training goes on as before, and as is asked for at the time.
    a = pickle.loads(pickle.dumps(clf)).partial_fit(X, y)
    b = pickle.loads(pickle.dumps(clf)).set_params(precision=None).partial_fit(X, y)
    assert a.net_.precision_ == "bf16"
    assert b.net_.precision_ is None
    assert not all(map(torch.equal, stacked_weights(a), stacked_weights(b)))


@pytest.mark.parametrize("precision", ["float16", 16, torch.bfloat16])
def test_an_unknown_precision(digits, precision):
    with pytest.raises(ValueError, match="'precision' parameter of JointEnsemble"):
        fit(*digits, precision)


@pytest.mark.gpu
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_lower_precision_on_cuda(digits, digits_test, precision):
    before = switches()
    full, less = (fit(*digits, p, device="cuda") for p in (None, precision))
    assert less.score(*digits_test) >= full.score(*digits_test) - 0.03
    assert less.net_.stepping_.startswith("captured")
    assert switches() == before
