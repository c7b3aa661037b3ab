"""The member for tables takes frames as they come, alone and in an ensemble."""

import copy
import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from test_tabular_settings import ensemble, member

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
)


def columns(n=60, seed=0):
    """Lists of plain values, None where one is missing."""
    random = np.random.RandomState(seed)

    def some(values):
        return [values[i] for i in random.randint(len(values), size=n)]

    return {
        "number": [*random.randn(n - 2).tolist(), None, None],
        "count": some([0, 1, 2, 30, None]),
        "flag": some([True, False]),
        "maybe": some([True, False, None]),
        "text": some(["b", "a", None, "d"]),
        "category": some(["red", "green", "blue", None]),
    }


def pandas_frame(n=60, seed=0):
    plain = columns(n, seed)
    return pd.DataFrame(
        {
            "number": np.array(plain["number"], dtype=float),
            "count": pd.array(plain["count"], dtype="Int64"),
            "flag": plain["flag"],
            "maybe": pd.array(plain["maybe"], dtype="boolean"),
            "text": plain["text"],
            "category": pd.Categorical(plain["category"]),
        }
    )


def polars_frame(n=60, seed=0):
    return pl.DataFrame(columns(n, seed)).cast({"category": pl.Categorical})


def labels(n=60):
    X = columns(n)
    return np.array(["no", "yes"])[[int(text in ("a", "d")) for text in X["text"]]]


@pytest.fixture(scope="module")
def fitted():
    """Not to be changed."""
    return ensemble().fit(pandas_frame(), labels())


def assert_same_proba(first, second, X, other_X=None, **tolerances):
    tolerances = {"rtol": 1e-9, **tolerances}
    other_X = X if other_X is None else other_X
    assert_allclose(first.member_proba(X), second.member_proba(other_X), **tolerances)


# -- what frames hold ------------------------------------------------------------------

KINDS = {
    "polars": polars_frame,
    "polars, enumerated": lambda n=60, seed=0: polars_frame(n, seed).cast(
        {"category": pl.Enum(["red", "blue", "green"])}
    ),
    "objects": lambda n=60, seed=0: pd.DataFrame(columns(n, seed), dtype=object),
    "nullable": lambda n=60, seed=0: pandas_frame(n, seed).convert_dtypes(),
    "pyarrow": lambda n=60, seed=0: pandas_frame(n, seed).convert_dtypes(
        dtype_backend="pyarrow"
    ),
    "nullable text": lambda n=60, seed=0: pandas_frame(n, seed).assign(
        category=pd.array(columns(n, seed)["category"], "string[pyarrow]"),
        text=pd.array(columns(n, seed)["text"], "string[python]"),
    ),
    "other order of categories": lambda n=60, seed=0: pandas_frame(n, seed).assign(
        category=pd.Categorical(
            columns(n, seed)["category"],
            categories=["red", "never seen", "blue", "green"],
            ordered=True,
        )
    ),
    "other index": lambda n=60, seed=0: pandas_frame(n, seed).set_index(
        np.arange(n)[::-1] % 7
    ),
}


@pytest.mark.core
@pytest.mark.quick(1)
@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_frames_are_alike(kind, fitted):
    frame = KINDS[kind]

    found = ensemble().fit(frame(), labels())

    assert_same_proba(found, fitted, frame(30, 1), pandas_frame(30, 1))
    for one, other in zip(found.estimators_, fitted.estimators_, strict=True):
        assert_allclose(
            one.predict_proba(frame(30, 1)), other.predict_proba(pandas_frame(30, 1))
        )


def test_frames_of_one_library_are_predicted_after_those_of_another(fitted):
    assert_array_equal(
        fitted.predict_proba(polars_frame(30, 1)),
        fitted.predict_proba(pandas_frame(30, 1)),
    )


def test_a_frame_of_numbers_is_an_array():
    X = np.random.RandomState(0).randn(60, 3)
    frame = pd.DataFrame(X, columns=list("abc"))

    of_array = ensemble().fit(X, labels())

    assert_same_proba(ensemble().fit(frame, labels()), of_array, frame, X)
    assert_same_proba(
        ensemble().fit(pl.DataFrame(frame.to_dict("list")), labels()),
        of_array,
        frame,
        X,
    )
    assert_same_proba(ensemble().fit(X.tolist(), labels()), of_array, X)


def test_a_frame_of_categories_alone():
    frame = pandas_frame()[["text", "category"]]
    clf = ensemble(member(max_epochs=15, lr=0.02)).fit(frame, labels())

    assert clf.score(frame, labels()) == 1.0


def test_categories_may_be_numbers():
    codes = np.random.RandomState(0).choice([10, 7, 300], size=60)
    frames = [
        pd.DataFrame({"a": pd.Categorical(values)})
        for values in (codes, codes.astype(float), np.sqrt(codes), codes > 8)
    ]
    y = codes == 10

    clfs = [ensemble().fit(frame, y) for frame in frames]

    for clf, frame in zip(clfs[1:3], frames[1:3], strict=True):
        assert_same_proba(clf, clfs[0], frame, frames[0])
    assert len(clfs[3].estimators_[0].module_.encoding.category_codes) == 2


def test_unknown_categories_are_none(fitted):
    X = pandas_frame(8, 1)
    X[["text", "category"]] = "unknown", "unknown as well"
    other = X.assign(text="new", category="as new")

    assert_array_equal(fitted.predict_proba(X), fitted.predict_proba(other))
    for one in fitted.estimators_:
        assert_array_equal(one.predict_proba(X), one.predict_proba(other))


def test_numbers_far_from_zero_keep_their_differences_in_float32_members():
    random = np.random.RandomState(0)
    X = pd.DataFrame({"id": random.permutation(60) / 16, "x": random.randn(60)})
    net = member(module__dtype=torch.float32)

    near = ensemble(net).fit(X, labels())
    far = ensemble(net).fit(X.assign(id=X.id + 1e9), labels())

    assert_same_proba(near, far, X, X.assign(id=X.id + 1e9), rtol=1e-6)


def test_fitting_and_predicting_leave_a_frame_as_it_was():
    for make in (pandas_frame, polars_frame):
        X, y = make(), labels()
        before = copy.deepcopy(X)

        clf = ensemble().fit(X, y)
        clf.predict(X)
        clf.estimators_[0].predict(X)

        assert X.equals(before)
        assert_array_equal(y, labels())


def test_fitting_leaves_an_array_as_it_was():
    X = np.random.RandomState(0).randn(60, 3)
    X[::5, 0] = np.nan
    X.flags.writeable = False

    ensemble().fit(X, labels()).predict(X)


# -- what cannot be --------------------------------------------------------------------


def never_trains(monkeypatch):
    def trains(*args, **kwargs):
        raise AssertionError("trained")

    monkeypatch.setattr(torch.optim.AdamW, "step", trains)


@pytest.mark.parametrize(
    ("X", "message"),
    [
        (np.array([[1, "a"], [2.5, "b"]] * 30, dtype=object), "could not convert"),
        (np.array([["1", "a"], ["2", "b"]] * 30), "could not convert|dtype"),
        (pd.DataFrame({"a": [1, "x"] * 30}), "in the column 'a'"),
        (pd.DataFrame({"a": [[1], [2]] * 30}), "uniformly strings or numbers"),
        (pd.DataFrame({"a": [1.0, np.inf] * 30, "b": ["x", "y"] * 30}), "infinity"),
        (pd.DataFrame({"a": [1.0, np.inf] * 30}), "infinity"),
        (np.array([[1.0], [-np.inf]] * 30), "infinity"),
    ],
    ids=[
        "objects",
        "text",
        "mixed",
        "lists",
        "infinite",
        "inf of numbers",
        "inf array",
    ],
)
def test_what_is_no_table_is_refused_before_training(X, message, monkeypatch):
    never_trains(monkeypatch)
    with pytest.raises((ValueError, TypeError), match=message):
        ensemble().fit(X, labels())


def test_infinity_is_refused_in_predicting(fitted):
    with pytest.raises(ValueError, match="infinity"):
        fitted.predict(pandas_frame(5).assign(number=np.inf))


def test_text_in_a_column_of_numbers_is_refused_in_predicting(fitted):
    with pytest.raises(ValueError, match="could not convert"):
        fitted.predict(pandas_frame(5).assign(number="x"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X: X.drop(columns="text"), "text"),
        (lambda X: X.assign(more=1), "more"),
        (lambda X: X.rename(columns={"text": "words"}), "words"),
        (lambda X: X[X.columns[::-1]], "same order"),
    ],
    ids=["fewer", "more", "renamed", "reordered"],
)
def test_other_columns_are_refused(change, message, fitted):
    for method in ("predict", "predict_proba", "member_proba"):
        with pytest.raises(ValueError, match=message):
            getattr(fitted, method)(change(pandas_frame(5)))


def test_array_of_another_number_of_columns_is_refused(fitted):
    with (
        warnings.catch_warnings(action="ignore"),
        pytest.raises(ValueError, match="features"),
    ):
        fitted.predict(pandas_frame(5).to_numpy()[:, :4])


def test_missing_values_and_categories_are_refused_by_other_members():
    X = np.random.RandomState(0).randn(60, 2)
    X[3, 0] = np.nan
    clf = ensemble(mlp_classifier((4,), max_epochs=1))
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(X, labels())
    with pytest.raises(ValueError, match="could not convert"):
        clf.fit(pandas_frame()[["flag", "text"]], labels())
    with pytest.raises(ValueError, match="NaN"):
        clf.fit(np.nan_to_num(X), labels()).predict(X)


@pytest.mark.parametrize(
    "make", [JointEnsembleClassifier, JointEnsembleClassifierCV], ids=["clf", "search"]
)
def test_tags_are_of_the_member(make):
    names = ("allow_nan", "categorical", "string")
    estimators = {None: True, member(): True, mlp_classifier(): False}
    for estimator, expected in estimators.items():
        tags = get_tags(make(estimator)).input_tags
        assert [getattr(tags, name) for name in names] == [expected] * 3
    assert get_tags(member()).input_tags.allow_nan


# -- alone, in pipelines and searches --------------------------------------------------


@pytest.mark.usefixtures("_seeded")
@pytest.mark.parametrize("make", [pandas_frame, polars_frame])
def test_a_member_alone_takes_frames(make):
    net = member(max_epochs=20, lr=0.02).fit(make(), labels())

    assert net.classes_.tolist() == ["no", "yes"]
    assert net.score(make(), labels()) > 0.8
    assert net.predict_proba(make(20, 3)).shape == (20, 2)


def test_in_pipelines():
    X, y = pandas_frame(), labels()
    scaled = make_column_transformer(
        (StandardScaler(), ["number"]),
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    pipe = make_pipeline(scaled, ensemble(member(max_epochs=15, lr=0.02))).fit(X, y)

    assert pipe.score(X, y) > 0.9
    assert {"text", "category"} <= set(pipe[-1].feature_names_in_)


@pytest.mark.slow
def test_settings_of_the_default_member_are_searched():
    grid = [
        {"estimator__lr": [0.0, 0.02]},
        {"estimator__n_bins": [0, 5]},
        {"estimator__module__hidden_layer_sizes": [(3,), (4, 5)]},
    ]
    clf = JointEnsembleClassifier(n_estimators=2, random_state=0)
    clf.set_params(estimator__max_epochs=2)

    search = GridSearchCV(clf, grid, cv=2, error_score="raise", refit=False)
    search.fit(pandas_frame(), labels())

    scores = search.cv_results_["mean_test_score"]
    assert len(scores) == 6
    for params in search.cv_results_["params"]:
        one = clone(clf).set_params(**params).fit(pandas_frame(), labels())
        module = one.estimators_[0].module_
        n_bins = params.get("estimator__n_bins", 8)
        assert module.encoding.bin_numbers.eq(0).sum() <= n_bins
        sizes = params.get("estimator__module__hidden_layer_sizes")
        if sizes is not None:
            found = [
                p.shape[0] for name, p in module.named_parameters() if "bias" in name
            ]
            assert found[:-1] == list(sizes)


def test_a_typo_in_a_setting_of_the_default_member():
    with pytest.raises(ValueError, match="Invalid parameter 'max_epoch'"):
        JointEnsembleClassifier().set_params(estimator__max_epoch=2)
