"""skl2onnx converts pipelines that end in an ensemble, without being told of any."""

import subprocess
import sys

import numpy as np
import pytest
import skl2onnx
from onnx_tools import answers_of, described, random_masks, session_of
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch import NeuralNetRegressor
from torch import nn

from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    JointEnsembleRegressor,
    mlp_classifier,
)

N_MEMBERS = 4
X = 3 + 5 * np.random.RandomState(0).normal(size=(60, 4)).astype(np.float32)
Y = np.arange(60) % 3
NAMES = np.array(["ant", "bee", "cat"])


def classifier(kind=JointEnsembleClassifier, **params):
    member = mlp_classifier((5,), max_epochs=2)
    return kind(member, n_estimators=N_MEMBERS, random_state=0, **params)


@pytest.fixture(scope="module")
def pipeline():
    return make_pipeline(StandardScaler(), classifier()).fit(X, NAMES[Y])


def test_a_pipeline_becomes_one_graph_of_all_members(pipeline):
    model = skl2onnx.to_onnx(pipeline, X[:1], options={"zipmap": False})

    session = session_of(model)
    assert described(session.get_inputs()) == {"X": ("tensor(float)", [4])}
    assert list(described(session.get_outputs())) == ["label", "probabilities"]
    for n_rows in (1, 7, 60):
        said = answers_of(session, {"X": X[:n_rows]})
        expected = pipeline.predict_proba(X[:n_rows])
        np.testing.assert_allclose(said["probabilities"], expected, rtol=0, atol=1e-5)
        np.testing.assert_array_equal(said["label"], pipeline.predict(X[:n_rows]))


@pytest.mark.slow
def test_members_are_an_input_where_they_are_asked_for(pipeline):
    options = {id(pipeline[-1]): {"zipmap": False, "members": True}}

    model = skl2onnx.to_onnx(pipeline, X[:1], options=options)

    session = session_of(model)
    assert described(session.get_inputs())["members"] == ("tensor(bool)", [])
    for mask in random_masks(N_MEMBERS):
        said = answers_of(session, {"X": X, "members": mask})
        expected = pipeline.predict_proba(X, members=mask)
        np.testing.assert_allclose(said["probabilities"], expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_a_search_over_pipelines_says_a_dict_for_each_row_by_default(pipeline):
    """As skl2onnx has it for all classifiers."""
    search = GridSearchCV(pipeline, {"jointensembleclassifier__lam": [0.5]}, cv=2)
    search.fit(X, Y)

    said = answers_of(session_of(skl2onnx.to_onnx(search, X[:1])), {"X": X})

    expected = search.predict_proba(X)
    found = [[row[name] for name in range(3)] for row in said["output_probability"]]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    np.testing.assert_array_equal(said["output_label"], search.predict(X))


@pytest.mark.slow
def test_a_search_of_ours_is_its_best_ensemble():
    search = classifier(JointEnsembleClassifierCV, lams=[0, 1], cv=2).fit(X, Y)

    model = skl2onnx.to_onnx(search, X[:1], options={"zipmap": False})

    said = answers_of(session_of(model), {"X": X})
    expected = search.predict_proba(X)
    np.testing.assert_allclose(said["probabilities"], expected, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_regressors_say_numbers(tmp_path):
    member = NeuralNetRegressor(
        nn.Linear, module__out_features=2, max_epochs=2, train_split=None, verbose=0
    )
    ensemble = JointEnsembleRegressor(member, n_estimators=2, bootstrap=True)
    pipeline = make_pipeline(StandardScaler(), ensemble).fit(X, X[:, :2])

    said = answers_of(session_of(skl2onnx.to_onnx(pipeline, X[:1])), {"X": X})

    expected = pipeline.predict(X)
    np.testing.assert_allclose(said["variable"], expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("option", [{"zipmap": "columns"}, {"raw_scores": True}])
def test_unknown_options_are_refused(pipeline, option):
    ((name, value),) = option.items()

    with pytest.raises(ValueError, match=f"Got {name}={value!r} instead"):
        skl2onnx.to_onnx(pipeline, X[:1], options={id(pipeline[-1]): option})


def test_versions_of_operators_that_torch_does_not_write_are_refused(pipeline):
    message = "must be at least 18 for JointEnsembleClassifier, .* Got 17 instead"

    with pytest.raises(ValueError, match=message):
        skl2onnx.to_onnx(pipeline, X[:1], target_opset=17)


def test_classes_that_no_dict_can_name_are_refused():
    clf = classifier().fit(X, Y % 2 == 0)

    with pytest.raises(ValueError, match="must be False for classes that are neither"):
        skl2onnx.to_onnx(clf, X[:1])


@pytest.mark.slow
def test_nothing_of_onnx_is_imported_before_it_is_asked_for(tmp_path):
    """Nor by reading files, which are no safer for what is imported."""
    program = f"""
import pickle, sys
import numpy as np
from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
X = np.random.RandomState(0).normal(size=(20, 3))
clf = JointEnsembleClassifier(mlp_classifier((3,), max_epochs=1), n_estimators=2)
clf.fit(X, np.arange(20) % 2).save({str(tmp_path / "ensemble")!r})
JointEnsembleClassifier.load({str(tmp_path / "ensemble")!r}).predict(X)
pickle.loads(pickle.dumps(clf)).predict(X)
print({{name.split(".")[0] for name in sys.modules if "onnx" in name}})
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert set(eval(run.stdout)) <= {"torch", "sklearn_jointens"}
