"""What a regressor cannot take is refused before training, in words."""

import numpy as np
import pandas as pd
import pytest
import torch
from regression_tools import data, ensemble, plain, table
from sklearn.linear_model import Ridge
from skorch import (
    NeuralNet,
    NeuralNetBinaryClassifier,
    NeuralNetClassifier,
    NeuralNetRegressor,
)
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleRegressor,
    JointEnsembleRegressorCV,
    mlp_classifier,
    tabular_regressor,
)
from sklearn_jointens.losses import HeteroscedasticGaussianLoss
from sklearn_jointens.training import JointNet

NUMBER_NAMES = (
    "MSELoss, PoissonNLLLoss, HeteroscedasticGaussianLoss, L1Loss, SmoothL1Loss or "
    "HuberLoss"
)
CLASS_NAMES = (
    "CrossEntropyLoss, NLLLoss (with a module that puts out probabilities) or "
    "BCEWithLogitsLoss"
)


class Outputs(nn.Module):
    def __init__(self, n_features_in, k=1):
        super().__init__()
        self.linear = nn.Linear(n_features_in, k)

    def forward(self, x):
        return self.linear(x)


def net(k=1, kind=NeuralNetRegressor, criterion=nn.MSELoss, **params):
    settings = {"train_split": None, "verbose": 0, "max_epochs": 1, "module__k": k}
    return kind(Outputs, criterion=criterion, **{**settings, **params})


@pytest.fixture
def _nothing_is_trained(monkeypatch):
    def train_step(*args, **kwargs):
        raise AssertionError("a step was taken")

    monkeypatch.setattr(JointNet, "train_step", train_step)


def refused(fit, message, kind=ValueError):
    with pytest.raises(kind) as caught:
        fit()
    assert str(caught.value) == message


def wrong(y, at, value):
    y = y.astype(np.asarray(value).dtype if isinstance(value, complex) else float)
    y[at] = value
    return y


# -- y ---------------------------------------------------------------------------------

X, Y = data()
BAD_Y = {
    "text": (Y.astype(str), "must hold numbers. Got <U32 instead."),
    "words": (
        np.array(["a", "b"] * 60, dtype=object),
        "must hold numbers: could not convert string to float: 'a'.",
    ),
    "categories": (
        pd.Series(["a", "b"] * 60, dtype="category"),
        "must hold numbers: could not convert string to float: 'a'.",
    ),
    "times": (np.arange(120).astype("M8[s]"), "must hold numbers. Got datetime64[s]"),
    "gaps": (
        np.array([None, *Y[1:]], dtype=object),
        "must hold finite numbers. Got nan instead.",
    ),
    "beyond float64": (
        Y.astype(np.longdouble) * np.longdouble("1e4000"),
        "must hold finite numbers. Got inf instead.",
    ),
    "axes": (
        np.ones((120, 2, 2)),
        "must have the shape (n_samples,) or (n_samples, n_targets). Got (120, 2, 2) "
        "instead.",
    ),
}
BAD_Y_OF_SKLEARN = {
    "NaN": (wrong(Y, 3, np.nan), "Input y contains NaN"),
    "infinity": (wrong(Y, 3, np.inf), "Input y contains infinity"),
    "NaN in a column": (np.c_[Y, wrong(Y, 3, np.nan)], "Input y contains NaN"),
    "complex": (Y + 1j, "Complex data not supported"),
    "none": (None, "requires y to be passed, but the target y is None"),
    "other length": (Y[:100], r"inconsistent numbers of samples: \[120, 100\]"),
    "no targets": (np.ones((120, 0)), "Found array with 0 feature"),
}
members = pytest.mark.parametrize("member", [table, plain], ids=["table", "plain"])


@pytest.mark.core
@pytest.mark.usefixtures("_nothing_is_trained")
@members
@pytest.mark.parametrize(("y", "rule"), BAD_Y.values(), ids=BAD_Y)
def test_y_that_holds_no_numbers(y, rule, member):
    search = JointEnsembleRegressorCV(member(), lams=(0, 1), cv=2)
    fits = [ensemble(member()).fit, ensemble(member()).partial_fit, search.fit]
    for fit in fits:
        with pytest.raises(ValueError, match="'y' parameter") as caught:
            fit(X, y)
        owner = type(fit.__self__).__name__
        assert str(caught.value).startswith(f"The 'y' parameter of {owner} {rule}")


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize(("y", "rule"), BAD_Y_OF_SKLEARN.values(), ids=BAD_Y_OF_SKLEARN)
def test_y_that_scikit_learn_refuses(y, rule):
    for fit in (
        ensemble().fit,
        ensemble().partial_fit,
        JointEnsembleRegressorCV(plain(), lams=(0, 1), cv=2).fit,
    ):
        with pytest.raises(ValueError, match=rule):
            fit(X, y)


@pytest.mark.quick(4)
@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize(
    ("value", "dtype", "most"),
    [
        (1e300, "float32", "3.4e+38"),
        (-1e39, "float32", "3.4e+38"),
        (1e6, "float16", "6.6e+04"),
    ],
)
@pytest.mark.parametrize("several", [False, True])
def test_y_beyond_what_members_compute_in(value, dtype, most, several):
    y = wrong(Y, 3, value)
    y = np.c_[Y, y] if several else y
    member = plain(module__dtype=getattr(torch, dtype))
    message = (
        f"The 'y' parameter must hold numbers that are finite in torch.{dtype}, which "
        f"the members compute in: of at most {most}. Got {value:g} instead."
    )
    refused(lambda: ensemble(member).fit(X, y), message)
    search = JointEnsembleRegressorCV(member, 2, lams=(0, 1), error_score="raise")
    refused(lambda: search.fit(X, y), message)


def test_y_beyond_what_members_compute_in_later():
    fitted = ensemble(plain()).fit(X.astype(np.float32), Y)
    before = fitted.predict(X)

    for method in ("partial_fit", "score_members"):
        with pytest.raises(ValueError, match=r"finite in torch.float32.*Got 1e\+300"):
            getattr(fitted, method)(X, wrong(Y, 3, 1e300))

    np.testing.assert_array_equal(fitted.predict(X), before)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("first", "then", "shapes"),
    [
        (Y, np.c_[Y, Y], ("(n_samples,)", "(120, 2)")),
        (np.c_[Y, Y], Y, ("(n_samples, 2)", "(120,)")),
        (np.c_[Y, Y], np.c_[Y, Y, Y], ("(n_samples, 2)", "(120, 3)")),
    ],
)
def test_another_number_of_targets_later(first, then, shapes):
    warm = ensemble(warm_start=True).fit(X, first)
    before = warm.predict(X)
    further = ensemble().partial_fit(X, first)
    rule, got = shapes
    message = (
        f"The 'y' parameter of JointEnsembleRegressor must have the shape {rule}. "
        f"Got {got} instead."
    )
    for method in (warm.fit, further.partial_fit, warm.score_members):
        refused(lambda method=method: method(X, then), message)
    np.testing.assert_array_equal(warm.predict(X), before)


@pytest.mark.usefixtures("_nothing_is_trained")
@members
def test_negative_counts(member):
    counts = wrong(np.arange(120.0), 3, -2)
    member = member(criterion=nn.PoissonNLLLoss)
    search = JointEnsembleRegressorCV(member, lams=(0, 1), cv=2)
    for fit in (ensemble(member).fit, ensemble(member).partial_fit, search.fit):
        refused(
            lambda fit=fit: fit(X, counts),
            f"The 'y' parameter of {type(fit.__self__).__name__} must be counts >= 0 "
            "with criterion=PoissonNLLLoss. Got numbers from -2 to 119 instead.",
        )


def test_negative_counts_later():
    member = plain(criterion=nn.PoissonNLLLoss)
    fitted = ensemble(member).partial_fit(X, np.arange(120))

    with pytest.raises(ValueError, match="must be counts >= 0"):
        fitted.partial_fit(X, -np.arange(120))


# -- the member ------------------------------------------------------------------------


class Absolute(nn.MSELoss):
    def forward(self, output, target):
        return (output - target).abs().mean()


BAD_CRITERIA = {
    nn.CrossEntropyLoss: "CrossEntropyLoss",
    nn.BCEWithLogitsLoss: "BCEWithLogitsLoss",
    nn.KLDivLoss: "KLDivLoss",
    Absolute: "Absolute with a 'forward' of its own",
    nn.GaussianNLLLoss: (
        "GaussianNLLLoss (whose variances are an argument that a net has no place for)"
    ),
}


@pytest.mark.usefixtures("_nothing_is_trained")
@members
@pytest.mark.parametrize("criterion", BAD_CRITERIA)
def test_criteria_that_a_regressor_cannot_join(criterion, member):
    message = (
        f"The 'criterion' parameter of the member must be {NUMBER_NAMES}, whose losses "
        f"can be joined. Got {BAD_CRITERIA[criterion]} instead."
    )
    member = member(criterion=criterion)
    refused(lambda: ensemble(member).fit(X, Y), message)
    search = JointEnsembleRegressorCV(member, lams=(0, 1), cv=2)
    refused(lambda: search.fit(X, Y), message)


@pytest.mark.parametrize(
    "criterion", [nn.MSELoss, nn.PoissonNLLLoss, HeteroscedasticGaussianLoss]
)
def test_criteria_that_a_classifier_cannot_join(criterion):
    clf = JointEnsembleClassifier(mlp_classifier(criterion=criterion))
    refused(
        lambda: clf.fit(X, Y > 14),
        f"The 'criterion' parameter of the member must be {CLASS_NAMES}, whose losses "
        f"can be joined. Got {criterion.__name__} instead.",
    )


@pytest.mark.usefixtures("_nothing_is_trained")
def test_settings_of_criteria_that_cannot_be_joined():
    rates = plain(criterion=nn.PoissonNLLLoss, criterion__log_input=False)
    refused(
        lambda: ensemble(rates).fit(X, Y),
        "The 'criterion__log_input' parameter of the member must be True: its module "
        "puts out logarithms of rates, whose mean is the ensemble's. Got False "
        "instead.",
    )
    refused(
        lambda: ensemble(table(criterion__reduction="sum")).fit(X, Y),
        "The 'criterion__reduction' parameter of the member must be 'mean'. Got 'sum' "
        "instead.",
    )


@pytest.mark.parametrize(
    ("kind", "member", "said"),
    [
        (JointEnsembleRegressor, net(kind=NeuralNetClassifier), "NeuralNetClassifier"),
        (JointEnsembleRegressor, mlp_classifier(), "MemberNetClassifier"),
        (
            JointEnsembleRegressor,
            NeuralNetBinaryClassifier(Outputs),
            "NeuralNetBinaryClassifier",
        ),
        (JointEnsembleRegressor, Ridge(), "Ridge"),
        (JointEnsembleClassifier, net(), "NeuralNetRegressor"),
        (JointEnsembleClassifier, net(kind=NeuralNet), "NeuralNet"),
        (JointEnsembleClassifier, tabular_regressor(), "TabularNetRegressor"),
    ],
)
def test_members_of_another_kind(kind, member, said):
    nets = {
        JointEnsembleRegressor: "NeuralNetRegressor or NeuralNet",
        JointEnsembleClassifier: "NeuralNetClassifier or NeuralNetBinaryClassifier",
    }
    refused(
        lambda: kind(member).fit(X, Y > 14),
        f"The 'estimator' parameter of {kind.__name__} must be None or an instance of "
        f"skorch's {nets[kind]}. Got an instance of {said} instead.",
        TypeError,
    )


ONE = "one number a row, shape (n_samples,) or (n_samples, 1) with n_samples=8"
TWO = "outputs of shape (n_samples, 2) = (8, 2), a number for each target"
VARIANCES = "means and then log-variances"


@pytest.mark.usefixtures("_nothing_is_trained")
@pytest.mark.parametrize(
    ("k", "criterion", "n_targets", "rule"),
    [
        (2, nn.MSELoss, 1, ONE),
        (2, nn.PoissonNLLLoss, 1, ONE),
        (1, nn.MSELoss, 2, TWO),
        (3, nn.HuberLoss, 2, TWO),
        (
            1,
            HeteroscedasticGaussianLoss,
            1,
            f"outputs of shape (n_samples, 2) = (8, 2), {VARIANCES}",
        ),
        (
            2,
            HeteroscedasticGaussianLoss,
            2,
            f"outputs of shape (n_samples, 4) = (8, 4), {VARIANCES}",
        ),
    ],
)
def test_modules_with_another_number_of_outputs(k, criterion, n_targets, rule):
    y = np.abs(Y if n_targets == 1 else np.c_[Y, Y])
    refused(
        lambda: ensemble(net(k, criterion=criterion)).fit(X, y),
        "The 'estimator' parameter of JointEnsembleRegressor must have a module with "
        f"{rule}. Got Outputs with an output of shape (8, {k}) instead.",
    )


@pytest.mark.usefixtures("_nothing_is_trained")
def test_a_nonlinearity_that_makes_other_shapes():
    def twice(output):
        return torch.cat([output, output], dim=1)

    with pytest.raises(ValueError, match="'predict_nonlinearity' parameter") as caught:
        ensemble(net(predict_nonlinearity=twice)).fit(X, Y)

    start = f"The 'predict_nonlinearity' parameter of the member must make {ONE} of a "
    assert str(caught.value).startswith(start)


# -- predicting ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def fitted():
    return ensemble(plain()).fit(X, Y)


def test_variances_that_nobody_has_learned(fitted):
    refused(
        lambda: fitted.predict(X, return_std=True),
        "The 'return_std' parameter of JointEnsembleRegressor.predict must be False "
        "unless the members' criterion is HeteroscedasticGaussianLoss, which learns "
        "variances. Got True instead.",
    )


@pytest.mark.parametrize("members", [[2], [-3], ["a"], 0, [True, False, True], [[0]]])
def test_unknown_members(members, fitted):
    for method, args in ((fitted.predict, (X,)), (fitted.score, (X, Y))):
        with pytest.raises(
            ValueError, match="The 'members' parameter of JointEnsembleRegressor must"
        ):
            method(*args, members=members)


@pytest.mark.parametrize(
    "y", [Y.astype(str), wrong(Y, 3, np.nan), np.ones((120, 2, 2))]
)
def test_y_that_members_cannot_be_scored_on(y, fitted):
    for scoring in (None, "r2"):
        with pytest.raises(ValueError, match="The 'y' parameter of JointEnsembleRegr"):
            fitted.score_members(X, y, scoring=scoring)


def test_a_scorer_of_classes(fitted):
    with pytest.raises(ValueError, match="continuous"):
        fitted.score_members(X, Y, scoring="accuracy")


@pytest.mark.parametrize("delta", [0, -1.0])
def test_a_huber_loss_without_a_middle(delta):
    member = plain(criterion=nn.HuberLoss, criterion__delta=delta)
    with pytest.raises(ValueError, match="'criterion__delta' parameter of the member"):
        ensemble(member).fit(*data())
