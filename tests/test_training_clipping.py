"""Clipping the norm of gradients, for each member by itself."""

import copy

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from skorch.callbacks import GradientNormClipping
from tools import skorch_net
from torch import nn

from sklearn_jointens import JointEnsembleClassifier, JointEnsembleClassifierCV
from sklearn_jointens.nn import vectorize_members
from sklearn_jointens.training._callbacks import MemberNormClipping


class Plain(nn.Module):
    """Weights of one and two axes, and one that the loss does not depend on."""

    def __init__(self, in_features=4):
        super().__init__()
        self.hidden = nn.Linear(in_features, 5)
        self.out = nn.Linear(5, 3)
        self.unused = nn.Linear(3, 2)

    def forward(self, X):
        return self.out(torch.tanh(self.hidden(X)))


class Tempered(Plain):
    """And one of no axis."""

    def __init__(self, in_features=4):
        super().__init__(in_features)
        self.temperature = nn.Parameter(torch.tensor(0.7))

    def forward(self, X):
        return super().forward(X) * self.temperature


# Weights of the module itself are run structurally in no case.
CASES = [
    *((Plain, way) for way in ("structural", "vmap", "loop")),
    *((Tempered, way) for way in ("vmap", "loop")),
]


def member(module=Plain, **params):
    clip = [("clip", GradientNormClipping(0.05))]
    settings = {"lr": 0.5, "max_epochs": 3, "batch_size": -1, "callbacks": clip}
    return skorch_net(module, **{**settings, **params})


@pytest.mark.quick(9)
@pytest.mark.parametrize("norm", [1, 2, 3.5, float("inf")])
@pytest.mark.parametrize(("module", "way"), CASES)
def test_each_members_gradients_are_those_of_clip_grad_norm(module, way, norm):
    """Parameters of a single number raised an IndexError."""
    torch.manual_seed(0)
    modules = [module() for _ in range(3)]
    together = vectorize_members(
        copy.deepcopy(modules), method=way, example=torch.randn(4, 4)
    )
    scales = (1e-4, 1.0, 30.0)  # of which the first is short enough as it is
    X = torch.randn(6, 4)
    sum(s * out.sum() for s, out in zip(scales, together(X), strict=True)).backward()

    class Net:
        module_ = together

    clip = MemberNormClipping(0.1, norm)
    clip.on_grad_computed(Net, together.named_parameters())

    for j, (alone, scale) in enumerate(zip(modules, scales, strict=True)):
        (scale * alone(X).sum()).backward()
        nn.utils.clip_grad_norm_(alone.parameters(), 0.1, norm)
        for name, parameter in alone.named_parameters():
            clipped = _gradient_of(together, name, j)
            if parameter.grad is None:
                assert clipped is None or not clipped.any()
            else:
                torch.testing.assert_close(clipped, parameter.grad)


def _gradient_of(together, name, j):
    found = [p.grad for n, p in together.named_parameters() if n == name]
    if together.method == "loop":
        return found[j]
    (gradient,) = found
    return None if gradient is None else gradient[j]


def test_there_may_be_no_gradient_at_all():
    together = vectorize_members([nn.Linear(2, 2)], method="structural")

    class Net:
        module_ = together

    parameters = together.named_parameters()
    MemberNormClipping(0.1).on_grad_computed(Net, parameters)

    assert all(p.grad is None for p in together.parameters())


@pytest.mark.quick(2)
@pytest.mark.parametrize(("module", "way"), CASES)
def test_members_are_skorch_nets_with_clipping(iris, module, way, monkeypatch):
    """skorch clips gradients of any shape, ours raised an IndexError."""
    X, y = iris
    monkeypatch.setattr(
        "sklearn_jointens._members.vectorize_members",
        lambda modules, method="auto", example=None: vectorize_members(
            modules, way, example
        ),
    )
    clf = JointEnsembleClassifier(member(module), 3, lam=0.0, random_state=0)
    start = clone(clf).set_params(estimator__max_epochs=0).fit(X, y)
    clf.fit(X, y)
    assert clf.vectorization_.method == way

    for before, after in zip(start.estimators_, clf.estimators_, strict=True):
        alone = member(module, classes=np.unique(y)).initialize()
        alone.module_.load_state_dict(before.module_.state_dict())
        alone.partial_fit(X.astype(np.float32), y.astype(np.int64))
        for name, weight in alone.module_.state_dict().items():
            torch.testing.assert_close(after.module_.state_dict()[name], weight)


def test_a_search_clips_as_fits_do(iris):
    X, y = iris
    ensemble = JointEnsembleClassifier(member(), 2, random_state=0)
    search = JointEnsembleClassifierCV(
        member(), 2, lams=[0, 1], cv=3, scoring="neg_log_loss", random_state=0
    ).fit(X, y)
    one_by_one = GridSearchCV(
        ensemble, {"lam": [0, 1]}, cv=3, scoring="neg_log_loss"
    ).fit(X, y)

    assert search.batching_.method == "program"
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"],
        one_by_one.cv_results_["mean_test_score"],
        rtol=1e-5,
    )
