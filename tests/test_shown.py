"""What nets and ensembles show of themselves."""

import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV
from skorch import NeuralNetClassifier
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
    tabular_classifier,
)

needs_fitted_attributes = pytest.mark.skipif(
    not hasattr(BaseEstimator, "_get_fitted_attr_html"),
    reason="this scikit-learn shows no fitted attributes",
)

SHOWN = [
    (lambda: tabular_classifier(), "TabularNetClassifier()"),
    (lambda: mlp_classifier(), "MemberNetClassifier()"),
    (
        lambda: mlp_classifier((3,), lr=0.1, optimizer__eps=1e-3),
        "MemberNetClassifier(lr=0.1, module__hidden_layer_sizes=(3,), "
        "optimizer__eps=0.001)",
    ),
    (
        lambda: tabular_classifier(patience=3, n_splits=4),
        "TabularNetClassifier(callbacks=[('best_epoch', BestEpoch(patience=3, "
        "load_best=True))], train_split=MemberFolds(n_splits=4, stratified=True, "
        "min_samples=50))",
    ),
    (
        lambda: JointEnsembleClassifier(mlp_classifier()),
        "JointEnsembleClassifier(estimator=MemberNetClassifier())",
    ),
    (
        lambda: GridSearchCV(JointEnsembleClassifier(tabular_classifier((8,))), {}),
        "GridSearchCV(estimator=JointEnsembleClassifier(estimator="
        "TabularNetClassifier(module__hidden_layer_sizes=(8,))), param_grid={})",
    ),
    (
        lambda: JointEnsembleClassifierCV(mlp_classifier(), cv=3),
        "JointEnsembleClassifierCV(cv=3, estimator=MemberNetClassifier())",
    ),
]


@pytest.mark.parametrize(("make", "text"), SHOWN)
def test_what_was_changed_is_shown_and_nothing_else(make, text):
    """Every parameter was, and an internal set in an order of its own."""
    estimator = make()
    assert " ".join(repr(estimator).split()).replace("( ", "(") == text
    assert repr(clone(estimator)) == repr(estimator)
    assert repr(pickle.loads(pickle.dumps(estimator))) == repr(estimator)


@pytest.mark.parametrize("maker", [mlp_classifier, tabular_classifier])
def test_html_has_no_internals(maker, iris):
    net = maker((3,), max_epochs=1)
    clf = JointEnsembleClassifier(net, 2).fit(*iris)
    for shown in (net, clf, clf.estimators_[0], clf.net_):
        html = shown._repr_html_()
        assert "_params_to_validate" not in html
        assert "module__hidden_layer_sizes" in html
        assert "_params_to_validate" not in repr(shown)
        assert " at 0x" not in repr(shown)
    assert "max_epochs=1" in repr(clf.estimators_[0])


def test_of_a_net_of_skorchs_what_was_changed_is_shown():
    net = NeuralNetClassifier(
        nn.Linear, criterion=nn.CrossEntropyLoss, lr=0.5, module__bias=False
    )
    shown = repr(JointEnsembleClassifier(net, lam=0.5))
    assert " ".join(shown.split()) == (
        "JointEnsembleClassifier(estimator=NeuralNetClassifier("
        "criterion=CrossEntropyLoss, lr=0.5, module=Linear, module__bias=False), "
        "lam=0.5)"
    )
    assert len(shown.splitlines()) == 2


@needs_fitted_attributes
def test_nothing_is_computed_to_be_displayed(iris, monkeypatch):
    clf = JointEnsembleClassifier(mlp_classifier((3,), max_epochs=1), 2).fit(*iris)
    monkeypatch.setattr(nn.Module, "__call__", pytest.fail)
    for shown in (clf, clf.estimators_[0], clf.net_):
        assert "history_" in shown._repr_html_()


@needs_fitted_attributes
def test_of_a_net_what_a_user_has_a_use_for_is_shown_as_fitted(iris):
    """All of skorch's bookkeeping was."""
    net = mlp_classifier((3,), max_epochs=1)
    assert not net._get_fitted_attr_html()
    assert set(net.fit(*iris)._get_fitted_attr_html()) == {
        "classes_",
        "criterion_",
        "history_",
        "module_",
        "optimizer_",
    }


def test_parameters_can_be_set_and_copied_as_before(iris):
    clf = JointEnsembleClassifier(tabular_classifier((3,), max_epochs=1), 2)
    assert "_params_to_validate" not in clf.get_params()
    clf.set_params(
        estimator__module__dropout=0.25, estimator__callbacks__best_epoch__patience=3
    )
    clf = clone(clf).fit(*iris)
    assert clf.get_params()["estimator__module__dropout"] == 0.25
    assert dict(clf.net_.callbacks_)["best_epoch"].patience == 3
    with pytest.raises(ValueError, match=r"unexpected argument\(s\) optimiser__eps"):
        mlp_classifier(optimiser__eps=1).fit(*map(np.asarray, iris))
