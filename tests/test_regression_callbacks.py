"""Callbacks and functions of the user's own see y as the members learn it."""

import numpy as np
import pytest
import torch
from regression_tools import data, ensemble, in_units, plain, table
from sklearn.metrics import mean_absolute_error, r2_score
from skorch.callbacks import Callback, EarlyStopping, EpochScoring, LRScheduler
from skorch.dataset import Dataset, ValidSplit

members = pytest.mark.parametrize("member", [table, plain], ids=["table", "plain"])


def scoring(metric, **params):
    name = "_".join([metric, *map(str, params.values())])
    return name, EpochScoring(metric, name=name, lower_is_better=False, **params)


@members
@pytest.mark.parametrize("several", [False, True])
def test_scores_of_epochs_are_those_of_the_ensemble(member, several):
    X, y = data()
    y = 1e3 * (np.c_[y, X[:, 0]] if several else y)
    metrics = {"r2": r2_score, "neg_mean_absolute_error": mean_absolute_error}
    callbacks = [
        scoring(metric, use_caching=cached, on_train=on_train)
        for metric in metrics
        for cached in (True, False)
        for on_train in (False, True)
    ]
    # With a learning rate of nearly 0, what is cached is what is predicted later.
    split = ValidSplit(4)
    settings = {"callbacks": callbacks, "lr": 1e-9, "max_epochs": 2}

    fitted = ensemble(member(train_split=split, **settings)).fit(X, y)

    targets = fitted.net_.targets_
    train, valid = split(Dataset(X, y))
    for metric, of in metrics.items():
        sign = -1 if metric.startswith("neg") else 1
        for on_train, rows in ((False, valid.indices), (True, train.indices)):
            learned = targets.encode(y[rows]), targets.encode(fitted.predict(X[rows]))
            expected = sign * of(*learned)
            for cached in (True, False):
                name = f"{metric}_{cached}_{on_train}"
                got = fitted.history_[-1, name]
                assert got == pytest.approx(expected, rel=1e-4), name


class Predicting(Callback):
    """Keeps what the net says in training."""

    def __init__(self, X):
        self.X = X

    def on_epoch_end(self, net, **kwargs):
        self.said = net.predict(self.X)


@members
def test_a_callback_that_predicts_sees_numbers_as_they_are_learned(member):
    X, y = data()
    member = member(callbacks=[("seen", Predicting(X))], max_epochs=1)

    fitted = ensemble(member).fit(X, 1e4 * y)

    said = dict(fitted.net_.callbacks_)["seen"].said
    expected = in_units(fitted, fitted.predict(X))
    np.testing.assert_allclose(said.ravel(), expected, rtol=1e-6)
    # The same net speaks in y's own units afterwards.
    np.testing.assert_allclose(fitted.net_.predict(X), fitted.predict(X), rtol=1e-6)


@members
def test_early_stopping_by_a_score_restores_its_best_epoch(member):
    X, y = data()
    callbacks = [
        scoring("r2"),
        (
            "stop",
            EarlyStopping("r2", lower_is_better=False, patience=3, load_best=True),
        ),
    ]
    settings = {"callbacks": callbacks, "train_split": ValidSplit(4), "lr": 0.1}
    fitted = ensemble(member(max_epochs=30, **settings)).fit(X, y)

    _, valid = ValidSplit(4)(Dataset(X, y))
    scores = fitted.history_[:, "r2"]
    assert fitted.best_epoch_ == 1 + np.argmax(scores)
    score = fitted.score(X[valid.indices], y[valid.indices])
    assert score == pytest.approx(max(scores), rel=1e-6)


def test_schedules_of_validation_losses():
    X, y = data()
    policy = torch.optim.lr_scheduler.ReduceLROnPlateau
    callback = LRScheduler(policy, monitor="valid_loss", patience=0)
    member = table(
        callbacks=[callback], train_split=ValidSplit(4), lr=0.3, max_epochs=30
    )

    fitted = ensemble(member).fit(X, y)

    rates = [group["lr"] for group in fitted.net_.optimizer_.param_groups]
    assert max(rates) < 0.3


def test_a_nonlinearity_of_the_users_own_is_applied_to_the_mean_of_the_outputs():
    X, y = data()
    member = plain(predict_nonlinearity=torch.exp, max_epochs=30)

    fitted = ensemble(member).fit(X, np.log(y))

    logarithms = ensemble(plain(max_epochs=30)).fit(X, np.log(y))
    expected = np.exp(logarithms.predict(X))
    np.testing.assert_allclose(fitted.predict(X), expected, rtol=1e-6)
    np.testing.assert_allclose(
        fitted.member_predict(X), np.exp(logarithms.member_predict(X)), rtol=1e-6
    )
    for one, other in zip(fitted.estimators_, fitted.member_predict(X), strict=True):
        np.testing.assert_allclose(one.predict(X), other, rtol=1e-6)
    assert fitted.score(X, y) > 0.3
    np.testing.assert_allclose(
        fitted.score_members(X, y), [r2_score(y, p) for p in fitted.member_predict(X)]
    )
    np.testing.assert_array_equal(
        fitted.history_[:, "train_loss"], logarithms.history_[:, "train_loss"]
    )


def test_a_nonlinearity_is_refused_where_y_is_scaled():
    X, y = data()

    with pytest.raises(ValueError, match="predict_nonlinearity") as caught:
        ensemble(table(predict_nonlinearity=torch.exp)).fit(X, np.log(y))

    assert str(caught.value).startswith(
        "The 'predict_nonlinearity' parameter of the member must be 'auto' for "
        "TabularNetRegressor, which learns y in units of its own; use "
        "TransformedTargetRegressor. Got <built-in method exp of"
    )
    none = ensemble(table(predict_nonlinearity=None)).fit(X, y)
    np.testing.assert_array_equal(none.predict(X), ensemble().fit(X, y).predict(X))


@members
def test_members_alone_predict_in_ys_own_units(member):
    X, y = data()
    net = member(max_epochs=20)

    net.fit(X, y)

    assert net.predict(X).shape == (120,)
    assert net.score(X, y) == pytest.approx(r2_score(y, net.predict(X)))
    assert net.score(X, y) > (0.2 if member is table else -1)
