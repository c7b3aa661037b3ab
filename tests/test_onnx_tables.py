"""What the default member makes of a table before it computes is in the graph too."""

import numpy as np
import pandas as pd
import pytest
import skl2onnx
from onnx_tools import answers_of, described, random_masks, session_of
from skl2onnx.common.data_types import DoubleTensorType, StringTensorType

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    JointEnsembleRegressor,
    tabular_classifier,
    tabular_regressor,
)

N_MEMBERS = 4
TEXT = ("ant", "bee", None, "new")


def frame_of(n_rows, unknown=False):
    """Numbers, text and numbers that are categories, with gaps in each."""
    random = np.random.RandomState(0)
    kinds = np.array(TEXT if unknown else TEXT[:3], dtype=object)
    codes = np.array([3.0, 7.0, np.nan, 5.0] if unknown else [3.0, 7.0, np.nan])
    X = pd.DataFrame(
        {
            "age": random.normal(40, 10, size=n_rows),
            "kind": random.choice(kinds, size=n_rows),
            "code": random.choice(codes, size=n_rows),
            "count": random.randint(9, size=n_rows),
            "place": random.choice(["hill", "lake"], size=n_rows),
        }
    )
    X.loc[::7, "age"] = np.nan
    return X.astype({"code": "category"})


def fed_with(X):
    """A frame as a graph takes it: "" for missing text, NaN for missing numbers."""
    numbers = X[["age", "code", "count"]].astype(np.float64)
    text = X[["kind", "place"]].astype(object).fillna("")
    return {name: part[[name]].to_numpy() for part in (numbers, text) for name in part}


@pytest.fixture(scope="module")
def classifier():
    """Of text classes, fitted on a frame."""
    member = tabular_classifier((6,), max_epochs=2)
    clf = JointEnsembleClassifier(member, n_estimators=N_MEMBERS, random_state=0)
    return clf.fit(frame_of(90), np.array(["no", "yes", "maybe"])[np.arange(90) % 3])


@pytest.fixture(scope="module")
def regressor():
    """Of numbers that float32 would take for one, fitted on a frame."""
    y = 1e9 + np.random.RandomState(1).normal(size=90)
    member = tabular_regressor((6,), max_epochs=2)
    reg = JointEnsembleRegressor(member, n_estimators=N_MEMBERS, random_state=0)
    return reg.fit(frame_of(90), y)


@pytest.mark.slow
def test_columns_are_taken_as_they_come(classifier, tmp_path):
    path, X = str(tmp_path / "ensemble.onnx"), frame_of(40, unknown=True)

    classifier.to_onnx(path, example=frame_of(10))

    session = session_of(path)
    assert described(session.get_inputs()) == {
        "age": ("tensor(double)", [1]),
        "kind": ("tensor(string)", [1]),
        "code": ("tensor(double)", [1]),
        "count": ("tensor(double)", [1]),
        "place": ("tensor(string)", [1]),
        "members": ("tensor(bool)", []),
    }
    for mask in random_masks(N_MEMBERS):
        said = answers_of(session, {**fed_with(X), "members": mask})
        proba = classifier.predict_proba(X, members=mask)
        np.testing.assert_allclose(said["probabilities"], proba, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(
            said["label"], classifier.predict(X, members=mask)
        )


@pytest.mark.slow
def test_a_loaded_ensemble_knows_its_columns_without_an_example(regressor, tmp_path):
    path, X = str(tmp_path / "ensemble.onnx"), frame_of(40, unknown=True)
    regressor.save(tmp_path / "ensemble")

    JointEnsembleRegressor.load(tmp_path / "ensemble").to_onnx(path)

    session = session_of(path)
    for mask in random_masks(N_MEMBERS, 10):
        said = answers_of(session, {**fed_with(X), "members": mask})
        expected = regressor.predict(X, members=mask)
        np.testing.assert_allclose(said["variable"][:, 0], expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_search_writes_its_best_for_rows_of_the_dtype_of_the_example(tmp_path):
    path, X = str(tmp_path / "ensemble.onnx"), np.array(fed_with(frame_of(60))["age"])
    member = tabular_classifier((6,), max_epochs=1)
    search = JointEnsembleClassifierCV(
        member, lams=[0, 1], n_estimators=2, cv=2, random_state=0
    )
    search.fit(X, np.arange(60) % 2)

    search.to_onnx(path, example=X.astype(np.float32))

    session, mask = session_of(path), np.array([False, True])
    assert described(session.get_inputs())["X"] == ("tensor(float)", [1])
    said = answers_of(session, {"X": X.astype(np.float32), "members": mask})
    expected = search.predict_proba(X.astype(np.float32), members=mask)
    np.testing.assert_allclose(said["probabilities"], expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(said["label"], search.predict(X, members=mask))


@pytest.mark.parametrize("name", ["members", "label", "probabilities"])
def test_a_column_with_a_name_of_the_graphs_own_is_refused(name, tmp_path):
    X = frame_of(60).rename(columns={"age": name})
    clf = JointEnsembleClassifier(
        tabular_classifier((6,), max_epochs=1), n_estimators=2, random_state=0
    )
    clf.fit(X, np.arange(60) % 2)

    with pytest.raises(ValueError, match=f"must have names that .* Got .'{name}', "):
        clf.to_onnx(tmp_path / "ensemble.onnx")


def test_categories_that_onnx_does_not_have_are_refused(tmp_path):
    days = pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02"])).astype("category")
    X = pd.DataFrame({"day": pd.concat([days] * 30, ignore_index=True)})
    clf = JointEnsembleClassifier(
        tabular_classifier((6,), max_epochs=1), n_estimators=2, random_state=0
    )
    clf.fit(X, np.arange(60) % 2)

    with pytest.raises(ValueError, match=r"Got \['Timestamp'\] in the column 'day'"):
        clf.to_onnx(tmp_path / "ensemble.onnx")


@pytest.mark.slow
def test_skl2onnx_takes_the_columns_one_by_one(classifier):
    X = frame_of(40, unknown=True)
    of_kind = {"O": StringTensorType([None, 1]), "f": DoubleTensorType([None, 1])}
    fed = fed_with(X)
    types = [(name, of_kind[fed[name].dtype.kind]) for name in X]

    model = skl2onnx.to_onnx(classifier, initial_types=types, options={"zipmap": False})

    said = answers_of(session_of(model), fed)
    expected = classifier.predict_proba(X)
    np.testing.assert_allclose(said["probabilities"], expected, rtol=0, atol=1e-5)


def test_skl2onnx_is_not_given_categories_among_numbers(classifier):
    """They would be taken for their codes."""
    types = [("X", DoubleTensorType([None, 5]))]

    with pytest.raises(ValueError, match=r"the 5 columns of X, .* Got 1 instead"):
        skl2onnx.to_onnx(classifier, initial_types=types)
