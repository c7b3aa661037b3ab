"""What a search refuses, before any training and without losing an earlier fit."""

import copy
import re

import numpy as np
import pytest
from search_tools import member, search
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold
from skorch.callbacks import EarlyStopping
from tools import two_classes
from torch import nn

from sklearn_jointens import JointEnsembleClassifierCV
from sklearn_jointens.training import JointNet, MemberNetClassifier
from sklearn_jointens.training.groups._run import GroupRun

OWNER = "JointEnsembleClassifierCV"


@pytest.fixture
def data():
    return two_classes(60)


@pytest.fixture(scope="module")
def _fitted():
    data = two_classes(60)
    return search(member(max_epochs=1)).fit(*data)


@pytest.fixture
def fitted(_fitted):
    """A search of one's own, which has been fitted."""
    return copy.copy(_fitted)


@pytest.fixture
def trains_nothing(monkeypatch, fitted):
    """Any step of any training fails from here on; `fitted` has been trained before."""

    def refuse(*args, **kwargs):
        raise AssertionError("something was trained")

    monkeypatch.setattr(GroupRun, "step", refuse)
    monkeypatch.setattr(JointNet, "train_step", refuse)


def check_refused(fitted, error, message, X, y, **fit_params):
    """It is refused with this message, and the earlier fit is as it was."""
    before = dict(vars(fitted))
    with pytest.raises(error, match=message):
        fitted.fit(X, y, **fit_params)
    assert vars(fitted).keys() == before.keys()
    assert all(vars(fitted)[name] is value for name, value in before.items())


@pytest.mark.quick(8)
@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    ("name", "values", "rule"),
    [
        ("n_estimators", [0, 1.5, "3", None], "an int in the range [1, inf)"),
        ("cv", [1, 0.5], "an int in the range [2, inf), an object implementing"),
        ("scoring", ["no metric", 3], "a str among {"),
        ("n_repeats", [0, -1, 1.5, None], "an int in the range [1, inf)"),
        ("refit", [None, 2.5], "an instance of 'bool'"),
        ("selection", ["first", None], "a str among {'"),
        ("bootstrap", [None, "yes"], "an instance of 'bool'"),
        ("class_weight", ["balance", [1, 2]], "an instance of 'dict'"),
        ("device", [3, object()], "None, an instance of 'str'"),
        ("precision", ["fp16", 16], "a str among {'"),
        ("max_memory", [0, -1.0, "1GB", np.inf], "a float in the range (0.0, inf)"),
        ("n_jobs", [1.5, "all"], "an instance of 'int'"),
        ("error_score", ["nan", None], "a str among {'raise'}"),
        ("return_train_score", [None, 2], "an instance of 'bool'"),
        ("random_state", [-1, "0"], "an int in the range [0, 4294967295]"),
        ("verbose", [-1, "no"], "an int in the range [0, inf)"),
    ],
)
def test_parameters(name, values, rule, fitted, data):
    for value in values:
        fitted.set_params(**{name: value})
        begin = re.escape(f"The '{name}' parameter of {OWNER} must be ")
        end = re.escape(f"Got {value!r} instead.")
        message = f"^{begin}.*{re.escape(rule)}.*{end}$"
        check_refused(fitted, ValueError, message, *data)


@pytest.mark.core
@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    "lams",
    [
        [],
        "",
        "0.5",
        ["0", "1"],
        [0, "a"],
        0.5,
        None,
        [None],
        {0.0, 1.0},
        [[0, 1]],
        [[0], [0, 1]],
        [0, 1.5],
        [-0.1, 1],
        [0, float("nan")],
        [0, float("inf")],
        [0, 1j],
    ],
    ids=repr,
)
def test_lams(lams, fitted, data):
    message = (
        f"The 'lams' parameter of {OWNER} must be a sequence of at least one float in "
        f"the range [0.0, 1.0]. Got {lams!r} instead."
    )

    check_refused(
        fitted.set_params(lams=lams), ValueError, f"^{re.escape(message)}$", *data
    )


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize("lams", [[0, 0.5, 0], [0.0, -0.0], [1, True]], ids=repr)
def test_lams_that_occur_twice(lams, fitted, data):
    message = f"The 'lams' parameter of {OWNER} must hold no value twice."

    check_refused(fitted.set_params(lams=lams), ValueError, message, *data)


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    "lams", [(0, 1), [0.5], np.array([0, 1]), np.float32([0.25]), range(2)], ids=repr
)
def test_lams_of_many_kinds(lams, data):
    fitted = search(lams=lams).fit(*data)

    assert fitted.lams_.dtype == np.float64
    assert fitted.lams_.tolist() == list(lams)
    assert type(fitted.lam_) is float


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    ("estimator", "got"),
    [
        (MemberNetClassifier, "the class MemberNetClassifier"),
        (LogisticRegression(), "an instance of LogisticRegression"),
        ("mlp", "an instance of str"),
    ],
)
def test_prototype_that_is_no_skorch_classifier(estimator, got, fitted, data):
    message = (
        f"^The 'estimator' parameter of {OWNER} must be None or an instance of skorch's"
        f".* Got {got} instead.$"
    )

    check_refused(fitted.set_params(estimator=estimator), TypeError, message, *data)


@pytest.mark.usefixtures("trains_nothing")
def test_device_that_is_not_there(fitted, data):
    message = f"^The 'device' parameter of {OWNER} must be .* Got 'abacus' instead.$"

    check_refused(fitted.set_params(device="abacus"), ValueError, message, *data)


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"criterion": nn.MultiMarginLoss}, ValueError, "MultiMarginLoss"),
        ({"batch_size": 0}, ValueError, "The 'batch_size' parameter of the member"),
        ({"module__depth": 3}, TypeError, "depth"),
        (
            {"callbacks": [EarlyStopping(monitor="valid_loss")]},
            ValueError,
            "The 'train_split' parameter of the member",
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_settings_of_the_member(settings, error, message, fitted, data):
    check_refused(
        fitted.set_params(estimator=member(**settings)), error, message, *data
    )


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    ("scoring", "refit"),
    [
        (["accuracy", "roc_auc"], True),
        (["accuracy", "roc_auc"], "f1"),
        ({"a": "accuracy"}, True),
        ({"a": "accuracy"}, "accuracy"),
    ],
)
def test_refit_that_does_not_say_which_of_several_metrics(scoring, refit, fitted, data):
    message = (
        f"The 'refit' parameter of {OWNER} must be one of the metrics "
        f"{sorted(scoring)}, a callable or False when 'scoring' names its metrics. "
        f"Got {refit!r} instead."
    )

    check_refused(
        fitted.set_params(scoring=scoring, refit=refit),
        ValueError,
        f"^{re.escape(message)}$",
        *data,
    )


def test_refit_that_names_another_metric_than_the_only_one(fitted, data):
    check_refused(
        fitted.set_params(scoring="accuracy", refit="accurcy"),
        ValueError,
        f"The 'refit' parameter of {OWNER} must be True, False or a callable when "
        "'scoring' is one metric. Got 'accurcy' instead.",
        *data,
    )


def test_refit_that_does_not_say_which_metric_of_a_callable(fitted, data):
    def scoring(clf, X, y):
        return {"a": 1.0, "b": 2.0}

    check_refused(
        fitted.set_params(scoring=scoring),
        ValueError,
        rf"The 'refit' parameter of {OWNER} must be one of the metrics \['a', 'b'\]",
        *data,
    )


@pytest.mark.quick(1)
@pytest.mark.parametrize("index", [-1, 3, 1.0, "0", None])
def test_refit_that_returns_no_index(index, fitted, data):
    message = (
        f"The 'refit' parameter of {OWNER} must return an index of 'lams', 0 to 2, "
        f"when it is a callable. Got {index!r} instead."
    )

    check_refused(
        fitted.set_params(refit=lambda results: index),
        ValueError,
        f"^{re.escape(message)}$",
        *data,
    )


@pytest.mark.usefixtures("trains_nothing")
def test_unknown_metric_of_several(fitted, data):
    check_refused(
        fitted.set_params(scoring=["accuracy", "nope"], refit="accuracy"),
        ValueError,
        "nope",
        *data,
    )


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    ("cv", "error", "message"),
    [
        (70, ValueError, "n_splits=70"),
        ([], ValueError, f"The 'cv' parameter of {OWNER} must give at least one split"),
        ([(np.arange(60, 90), np.arange(5))], IndexError, "out of bounds"),
        (GroupKFold(3), ValueError, "groups"),
    ],
    ids=["more than rows", "none", "rows that are not there", "no groups"],
)
def test_folds(cv, error, message, fitted, data):
    check_refused(fitted.set_params(cv=cv), error, message, *data)


# -- data ------------------------------------------------------------------------------


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_X_that_is_not_finite(value, fitted, data):
    X, y = data
    X[3, 2] = value

    check_refused(fitted, ValueError, "Input X contains (NaN|infinity)", X, y)


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    ("of_y", "message"),
    [
        (lambda y: None, "requires y to be passed, but the target y is None"),
        (lambda y: y[:-1], "inconsistent numbers of samples"),
        (
            lambda y: np.zeros(60, dtype=int),
            f"^The 'y' parameter of {OWNER} must hold at least 2 classes. Got 1 class "
            r"instead: \[0\].$",
        ),
        (lambda y: y + 0.5, "Unknown label type: continuous"),
        (
            lambda y: np.stack([y, y], axis=1),
            "must be BCEWithLogitsLoss for several labels",
        ),
        (lambda y: np.where(y == 0, np.nan, y), "NaN"),
    ],
    ids=["none", "short", "one class", "continuous", "two columns", "nan"],
)
def test_y(of_y, message, fitted, data):
    X, y = data

    check_refused(fitted, ValueError, message, X, of_y(y))


@pytest.mark.usefixtures("trains_nothing")
def test_X_with_one_axis(fitted, data):
    X, y = data

    check_refused(fitted, ValueError, "Expected 2D array", X[:, 0], y)


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.ones(59), "sample_weight.shape == "),
        (np.ones((60, 2)), "Sample weights must be 1D"),
        (np.full(60, np.nan), "Input sample_weight contains NaN"),
        (np.r_[-1.0, np.ones(59)], "Negative values in data passed to `sample_weight`"),
    ],
    ids=["short", "two axes", "nan", "negative"],
)
def test_sample_weight(weight, message, fitted, data):
    check_refused(fitted, ValueError, message, *data, sample_weight=weight)


@pytest.mark.usefixtures("trains_nothing")
def test_sample_weight_that_leaves_one_class(fitted, data):
    X, y = data
    message = (
        f"The 'sample_weight' and 'class_weight' parameters of {OWNER} must leave rows "
        "of at least 2 classes with a weight above zero. Got 1 class instead: [1]."
    )

    check_refused(
        fitted,
        ValueError,
        f"^{re.escape(message)}$",
        X,
        y,
        sample_weight=y.astype(float),
    )


@pytest.mark.usefixtures("trains_nothing")
def test_class_weight_of_labels_that_are_not_there(fitted, data):
    check_refused(fitted.set_params(class_weight={"a": 1.0}), ValueError, "a", *data)


@pytest.mark.usefixtures("trains_nothing")
@pytest.mark.parametrize("name", ["weights", "epochs"])
def test_unknown_arguments_of_fit(name, fitted, data):
    message = (
        f"^{OWNER}.fit takes further parameters than 'groups' with metadata routing "
        rf"only. Got \['{name}'\] instead.$"
    )

    check_refused(fitted, TypeError, message, *data, **{name: 3, "groups": data[1]})


@pytest.mark.usefixtures("trains_nothing")
def test_groups_of_another_length(fitted, data):
    check_refused(
        fitted.set_params(cv=GroupKFold(2)),
        ValueError,
        "inconsistent numbers of samples",
        *data,
        groups=np.arange(59),
    )


@pytest.mark.usefixtures("trains_nothing")
def test_module_that_cannot_take_the_rows(fitted, data):
    X, y = data
    net = MemberNetClassifier(
        nn.Conv2d,
        module__in_channels=3,
        module__out_channels=2,
        module__kernel_size=1,
        criterion=nn.CrossEntropyLoss,
        train_split=None,
        verbose=0,
    )

    check_refused(
        fitted.set_params(estimator=net),
        ValueError,
        "must have a module that takes X, in batches of shape",
        X.astype(np.float32),
        y,
    )


def test_unknown_parameter():
    with pytest.raises(ValueError, match="Invalid parameter 'lam' for estimator"):
        search().set_params(lam=0.5)
    with pytest.raises(TypeError, match="lam_grid"):
        JointEnsembleClassifierCV(lam_grid=[0, 1])


def test_a_first_fit_that_is_refused_leaves_nothing(data):
    clf = search()

    with pytest.raises(ValueError, match="at least 2 classes"):
        clf.fit(data[0], np.zeros(60))

    assert [name for name in vars(clf) if name.endswith("_")] == []
    assert not hasattr(clf, "classes_")
