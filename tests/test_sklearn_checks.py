"""Ensembles keep every promise of scikit-learn's classifiers and regressors."""

import inspect
from collections import defaultdict

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpydoc.docscrape import ClassDoc, FunctionDoc
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator
from skorch import NeuralNetBinaryClassifier, NeuralNetClassifier, NeuralNetRegressor
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    JointEnsembleRegressor,
    JointEnsembleRegressorCV,
    mlp_classifier,
    mlp_regressor,
    tabular_classifier,
    tabular_regressor,
)

frames = pytest.mark.parametrize(
    "frame", [pd.DataFrame, pl.DataFrame], ids=["pandas", "polars"]
)


class OwnModule(nn.Module):
    """A member as a user writes one: more than a chain of layers."""

    def __init__(self, n_features_in, n_outputs, dtype=None):
        super().__init__()
        self.wide = nn.Linear(n_features_in, 32, dtype=dtype)
        self.deep = nn.Linear(32, 32, dtype=dtype)
        self.out = nn.Linear(32, n_outputs, dtype=dtype)

    def forward(self, x):
        h = torch.tanh(self.wide(x))
        return self.out(h + torch.relu(self.deep(h)))


def own_member(kind=NeuralNetClassifier, criterion=nn.CrossEntropyLoss, **params):
    settings = {
        "criterion": criterion,
        "optimizer": torch.optim.Adam,
        "lr": 0.02,
        "max_epochs": 10,
        "batch_size": 64,
        "train_split": None,
        "verbose": 0,
    }
    return kind(OwnModule, **{**settings, **params})


def ensemble(**params):
    """A small one, quick to fit."""
    settings = {
        "estimator": mlp_classifier((8,), max_epochs=3),
        "n_estimators": 2,
        "random_state": 0,
    }
    return JointEnsembleClassifier(**{**settings, **params})


@pytest.fixture
def iris():
    return load_iris(return_X_y=True, as_frame=True)


# -- scikit-learn's own checks ---------------------------------------------------------


def checked_ensembles():
    """Ensembles of several settings, by name."""
    own = {
        JointEnsembleClassifier: own_member(),
        JointEnsembleRegressor: own_member(
            NeuralNetRegressor, nn.MSELoss, max_epochs=30
        ),
    }
    for kind, member in own.items():
        for lam in (0, 0.5, 1):
            yield f"own-lam{lam}", kind(member, n_estimators=2, lam=lam)
        yield "default", kind(n_estimators=2, lam=0.5)
    small = {"hidden_layer_sizes": (16,), "lr": 0.03, "max_epochs": 8}
    labels = mlp_classifier(criterion=nn.BCEWithLogitsLoss, **small)
    yield "labels", JointEnsembleClassifier(labels, n_estimators=2, lam=0.5)
    counts = tabular_regressor(criterion=nn.PoissonNLLLoss, **small)
    yield "counts", JointEnsembleRegressor(counts, n_estimators=2)
    settings = {"n_estimators": 2, "lams": (0, 1), "cv": 2}
    yield "search", JointEnsembleClassifierCV(mlp_classifier(**small), **settings)
    yield "search", JointEnsembleRegressorCV(mlp_regressor(**small), **settings)


# The others have other members or another lam, search over such ensembles, or are
# regressors, which share all but what is checked of regressors alone.
CHECKED = defaultdict(lambda: pytest.mark.slow) | {
    ("classifier", "own-lam0.5"): pytest.mark.core,
}


def scikit_learn_checks():
    """All checks for several ensembles, with short names."""
    for name, ensemble in checked_ensembles():
        for estimator, check in estimator_checks_generator(ensemble):
            what = check.func.__name__
            # There is no decision function; the numbers of the other are negative,
            # whatever `positive_only` says.
            if what.endswith("decision_function") or (name, what) == (
                "counts",
                "check_regressor_multioutput",
            ):
                continue
            kind = "regressor" if is_regressor(ensemble) else "classifier"
            marks = CHECKED[kind, name]
            if name == "own-lam0.5" and "regressor" in what:
                marks = ()
            yield pytest.param(
                estimator, check, id=f"{kind}-{name}-{what}", marks=marks
            )


@pytest.fixture
def _no_check_is_skipped(monkeypatch):
    """scikit-learn skips its check of array API dispatch unless this is set."""
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")


@pytest.mark.usefixtures("_no_check_is_skipped", "_small_default_members")
@pytest.mark.parametrize(("estimator", "check"), list(scikit_learn_checks()))
def test_scikit_learn_check_passes(estimator, check):
    check(estimator)


# -- what a scikit-learn user sees -----------------------------------------------------


def test_tags_say_what_it_takes():
    tags = get_tags(JointEnsembleClassifier())

    assert is_classifier(JointEnsembleClassifier())
    assert tags.target_tags.required
    assert tags.classifier_tags.multi_class
    assert not tags.classifier_tags.multi_label
    assert tags.input_tags.two_d_array
    assert tags.input_tags.three_d_array
    assert tags.input_tags.sparse
    assert tags.input_tags.allow_nan
    assert tags.input_tags.categorical
    assert tags.input_tags.string
    assert not get_tags(JointEnsembleClassifier(mlp_classifier())).input_tags.allow_nan
    assert not tags.non_deterministic


@pytest.mark.parametrize(
    "of",
    [JointEnsembleClassifier, JointEnsembleClassifierCV],
    ids=lambda of: of.__name__,
)
def test_tags_of_classes_and_labels_are_those_that_the_criterion_takes(of):
    criterion = {"criterion": nn.BCEWithLogitsLoss}
    for member, classes, labels in (
        (None, True, False),
        (mlp_classifier(), True, False),
        (mlp_classifier(**criterion), False, True),
        (own_member(NeuralNetBinaryClassifier, **criterion), False, False),
        (own_member(criterion=nn.BCEWithLogitsLoss()), False, True),
        (own_member(criterion=nn.NLLLoss), True, False),
    ):
        tags = get_tags(of(member)).classifier_tags
        assert (tags.multi_class, tags.multi_label) == (classes, labels), member


@pytest.mark.parametrize(
    "of", [JointEnsembleRegressor, JointEnsembleRegressorCV], ids=lambda of: of.__name__
)
def test_tags_of_regressors(of):
    tags = get_tags(of())

    assert is_regressor(of())
    assert tags.target_tags.required
    assert tags.target_tags.multi_output
    assert not tags.target_tags.positive_only
    assert tags.input_tags.sparse
    assert tags.input_tags.three_d_array
    assert tags.input_tags.allow_nan
    assert tags.input_tags.categorical
    assert not tags.regressor_tags.poor_score
    counts = get_tags(of(mlp_regressor(criterion=nn.PoissonNLLLoss)))
    assert counts.target_tags.positive_only
    assert not counts.input_tags.allow_nan


@pytest.mark.usefixtures("_small_default_members")
@pytest.mark.parametrize("member", [None, own_member()], ids=["default", "own"])
@pytest.mark.parametrize("fitted", [False, True])
def test_html_shows_the_members_prototype(member, fitted, iris):
    clf = ensemble(estimator=member, lam=0.25)
    if fitted:
        clf.fit(*iris)

    html = clf._repr_html_()

    assert "JointEnsembleClassifier" in html
    assert "0.25" in html
    if member is not None:
        assert "NeuralNetClassifier" in html
        assert "OwnModule" in html


@pytest.mark.usefixtures("_small_default_members")
def test_repr_is_short_and_names_what_was_set(iris):
    assert repr(JointEnsembleClassifier()) == "JointEnsembleClassifier()"

    clf = JointEnsembleClassifier(lam=0.5, n_estimators=2, random_state=0).fit(*iris)

    assert repr(clf) == (
        "JointEnsembleClassifier(lam=0.5, n_estimators=2, random_state=0)"
    )


def test_clone_is_unfitted_with_equal_parameters(iris):
    clf = ensemble(estimator=own_member(lr=0.2), lam=0.5).fit(*iris)

    copy = clone(clf)

    assert not hasattr(copy, "estimators_")
    assert copy.estimator is not clf.estimator
    assert copy.estimator.lr == 0.2
    assert copy.lam == 0.5
    np.testing.assert_array_equal(
        copy.fit(*iris).predict_proba(iris[0]), clf.predict_proba(iris[0])
    )


def test_fit_leaves_parameters_and_the_prototype_alone(iris):
    member = own_member()
    clf = ensemble(estimator=member, device="auto")
    before = {name: id(value) for name, value in clf.get_params(deep=False).items()}

    clf.fit(*iris)

    after = {name: id(value) for name, value in clf.get_params(deep=False).items()}
    assert after == before
    assert not member.initialized_


def test_parameters_of_the_member_are_reached_by_name():
    clf = JointEnsembleClassifier(own_member())

    clf.set_params(estimator__lr=0.5, estimator__module__n_outputs=7, lam=0.1)

    assert clf.get_params()["estimator__lr"] == 0.5
    assert clf.estimator.lr == 0.5
    assert clf.estimator.module__n_outputs == 7
    assert clf.lam == 0.1


def test_setting_a_parameter_of_the_member_changes_the_fit(iris):
    X, y = iris
    clf = ensemble().set_params(estimator__lr=0.0, estimator__max_epochs=1).fit(X, y)
    longer = clone(clf).set_params(estimator__max_epochs=2).fit(X, y)
    faster = clone(clf).set_params(estimator__lr=0.1).fit(X, y)

    np.testing.assert_array_equal(clf.predict_proba(X), longer.predict_proba(X))
    assert len(longer.history_) == 2
    assert not np.array_equal(clf.predict_proba(X), faster.predict_proba(X))


@pytest.mark.slow
def test_the_default_member_is_tabular_classifier(iris):
    X, y = iris
    settings = {"n_estimators": 2, "random_state": 0}

    default = JointEnsembleClassifier(**settings).fit(X, y)
    given = JointEnsembleClassifier(tabular_classifier(), **settings).fit(X, y)

    np.testing.assert_array_equal(default.predict_proba(X), given.predict_proba(X))


# -- names of features -----------------------------------------------------------------


@frames
def test_frames_give_feature_names_and_the_same_fit_as_arrays(frame, iris):
    X, y = iris
    table = frame({name: X[name].to_numpy() for name in X})
    clf = ensemble().fit(table, y)

    assert clf.feature_names_in_.tolist() == list(X)
    assert clf.n_features_in_ == 4
    array = np.ascontiguousarray(X)
    np.testing.assert_allclose(
        clf.predict_proba(table), ensemble().fit(array, y).predict_proba(array)
    )


@frames
def test_frame_with_other_feature_names_is_refused(frame, iris):
    X, y = iris
    clf = ensemble().fit(frame({name: X[name].to_numpy() for name in X}), y)
    renamed = frame({name.upper(): X[name].to_numpy() for name in X})

    with pytest.raises(ValueError, match="feature names should match") as caught:
        clf.predict(renamed)

    assert "PETAL LENGTH (CM)" in str(caught.value)


def test_array_after_a_frame_warns(iris):
    X, y = iris
    clf = ensemble().fit(X, y)

    with pytest.warns(UserWarning, match="X does not have valid feature names"):
        clf.predict(X.to_numpy())


def test_arrays_have_no_feature_names(iris):
    X, y = iris
    clf = ensemble().fit(X.to_numpy(), y)

    assert not hasattr(clf, "feature_names_in_")
    assert clf.n_features_in_ == 4


# -- metadata routing ------------------------------------------------------------------


@pytest.fixture
def weight(iris):
    return np.random.RandomState(0).uniform(0.1, 3, len(iris[1]))


@pytest.mark.usefixtures("_routing")
def test_sample_weight_is_routed_through_a_pipeline(iris, weight):
    X, y = iris
    clf = ensemble().set_fit_request(sample_weight=True)
    scaler = StandardScaler().set_fit_request(sample_weight=False)

    pipe = make_pipeline(scaler, clf).fit(X, y, sample_weight=weight)

    X = StandardScaler().set_output(transform="default").fit_transform(X)
    direct = ensemble().fit(X, y, sample_weight=weight)
    unweighted = ensemble().fit(X, y)
    np.testing.assert_array_equal(pipe.predict_proba(iris[0]), direct.predict_proba(X))
    assert not np.array_equal(direct.predict_proba(X), unweighted.predict_proba(X))


@pytest.mark.usefixtures("_routing")
def test_sample_weight_is_routed_through_a_search(iris, weight):
    X, y = iris
    clf = ensemble().set_fit_request(sample_weight=True)
    clf.set_score_request(sample_weight=True)
    search = GridSearchCV(clf, {"lam": [0, 1]}, cv=2)

    search.fit(X, y, sample_weight=weight)

    direct = ensemble(lam=search.best_params_["lam"]).fit(X, y, sample_weight=weight)
    np.testing.assert_array_equal(search.predict_proba(X), direct.predict_proba(X))


@pytest.mark.usefixtures("_routing")
def test_sample_weight_that_nobody_asked_for_is_refused(iris, weight):
    with pytest.raises(UnsetMetadataPassedError, match="sample_weight"):
        cross_validate(ensemble(), *iris, params={"sample_weight": weight}, cv=2)


def test_sample_weight_counts_in_score(iris, weight):
    X, y = iris
    clf = ensemble().fit(X, y)

    hits = clf.predict(X) == y
    assert clf.score(X, y, sample_weight=weight) == pytest.approx(
        np.average(hits, weights=weight)
    )


# -- documentation ---------------------------------------------------------------------

each_ensemble = pytest.mark.parametrize(
    "of", [JointEnsembleClassifier, JointEnsembleRegressor], ids=lambda of: of.__name__
)


@each_ensemble
def test_documented_parameters_are_those_of_init_with_their_defaults(of):
    documented = ClassDoc(of)["Parameters"]
    signature = inspect.signature(of)

    assert [p.name for p in documented] == list(signature.parameters)
    for parameter in documented:
        default = signature.parameters[parameter.name].default
        shown = f'"{default}"' if isinstance(default, str) else repr(default)
        assert parameter.type.endswith(f"default={shown}"), parameter.name


@each_ensemble
def test_documented_attributes_are_the_fitted_ones(of, iris):
    documented = {p.name for p in ClassDoc(of)["Attributes"]}

    maker = mlp_regressor if of is JointEnsembleRegressor else mlp_classifier
    member = maker((8,), max_epochs=3)
    fitted = of(member, 30, bootstrap=True, oob_score=True, random_state=0).fit(*iris)

    derived = inspect.getmembers(of, lambda part: isinstance(part, property))
    names = (*vars(fitted), *dict(derived))
    fitted = {name for name in names if name[0] != "_" and name[-1] == "_"}
    assert fitted == documented


def test_documented_attributes_are_there_after_partial_fit(iris):
    X, y = iris
    fitted = vars(ensemble().fit(X, y)).keys()
    partially = vars(ensemble().partial_fit(X, y, classes=[0, 1, 2])).keys()

    assert partially == fitted


def methods(of):
    """Public ones, but those that scikit-learn makes."""
    return [
        method
        for name, method in inspect.getmembers(of, inspect.isfunction)
        if not name.startswith(("_", "set_", "get_", "make_member"))
    ]


@pytest.mark.parametrize(
    "method",
    [*methods(JointEnsembleClassifier), *methods(JointEnsembleRegressor)],
    ids=lambda method: method.__qualname__,
)
def test_public_methods_are_documented_with_their_real_arguments(method):
    documented = [p.name for p in FunctionDoc(method)["Parameters"]]
    real = inspect.signature(method).parameters.values()
    stars = {inspect.Parameter.VAR_KEYWORD: "**"}
    names = [stars.get(p.kind, "") + p.name for p in real]

    assert inspect.getdoc(method)
    assert documented == [name for name in names if name != "self"]
