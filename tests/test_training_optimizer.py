"""torch's fused optimizers, used where they change nothing but the time."""

import numpy as np
import pytest
import torch
from skorch.callbacks import Callback, Freezer, Unfreezer
from tools import skorch_net
from torch import nn

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import MLP

SETTINGS = {
    "SGD": (torch.optim.SGD, {"optimizer__momentum": 0.9}),
    "Adam": (torch.optim.Adam, {"optimizer__weight_decay": 1e-3}),
    "AdamW": (torch.optim.AdamW, {}),
}


def ensemble(optimizer, module=MLP, **params):
    net = skorch_net(module, optimizer=optimizer, lr=0.01, max_epochs=3, **params)
    return JointEnsembleClassifier(net, n_estimators=3, lam=0.9, random_state=0)


def is_fused(clf):
    return clf.net_.optimizer_.param_groups[0].get("fused")


@pytest.mark.parametrize("name", SETTINGS)
def test_a_fused_step_is_the_optimizers_own(digits, name):
    X, y = digits
    optimizer, params = SETTINGS[name]
    fused = ensemble(optimizer, **params).fit(X, y)
    plain = ensemble(optimizer, optimizer__fused=False, **params).fit(X, y)
    assert is_fused(fused)
    assert not is_fused(plain)
    difference = fused.predict_proba(X) - plain.predict_proba(X)
    assert np.abs(difference).max() < 1e-5


@pytest.mark.parametrize("option", ["foreach", "differentiable", "fused"])
def test_the_prototype_may_say_how_a_step_is_computed(digits, option):
    X, y = digits
    value = option == "foreach"
    clf = ensemble(torch.optim.SGD, **{f"optimizer__{option}": value}).fit(X, y)
    assert not is_fused(clf)
    assert clf.net_.optimizer_.param_groups[0][option] is value


def test_an_optimizer_without_a_fused_step_is_left_alone(digits):
    X, y = digits
    assert not is_fused(ensemble(torch.optim.RMSprop).fit(X, y))


class OwnUnfreezer(Callback):
    """Trains the hidden layer from the second epoch on."""

    def on_epoch_begin(self, net, **kwargs):
        for name, parameter in net.get_all_learnable_params():
            parameter.requires_grad_("hidden" not in name or len(net.history) > 1)


@pytest.mark.parametrize(
    "callbacks",
    [[OwnUnfreezer()], [Freezer("hidden*"), Unfreezer("hidden*", at=2)]],
    ids=["own", "skorch"],
)
def test_weights_that_begin_to_learn_later_are_not_fused(digits, callbacks):
    """Fused SGD failed at the first step after the hidden layer was unfrozen."""
    X, y = digits
    clf = ensemble(torch.optim.SGD, optimizer__momentum=0.9, callbacks=callbacks)
    assert not is_fused(clf.fit(X, y))
    assert clf.history_[-1, "train_loss"] < clf.history_[0, "train_loss"]


class SparseTable(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.table = nn.Embedding(17, n_classes, sparse=True)

    def forward(self, x):
        return self.table(x).sum(1)


def test_sparse_gradients_are_not_fused(digits):
    X, y = digits
    clf = ensemble(torch.optim.SGD, SparseTable).fit(X.astype(np.int64), y)
    assert not is_fused(clf)
