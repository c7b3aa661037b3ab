"""Regressors and ensembles of labels are kept, and come back as they were."""

import math
import pickle

import cloudpickle
import numpy as np
import pandas as pd
import pytest
from regression_tools import data, ensemble, plain, table, units
from skops.io import dump, get_untrusted_types, load
from skorch import NeuralNetRegressor
from test_labels import X as LABEL_X
from test_labels import Y as LABEL_Y
from test_labels import ensemble as of_labels
from test_persistence_files import HUGE, change, needs_linux, rewrite
from torch import nn

from examples.benchmarks._peak import peak_megabytes
from sklearn_jointens import JointEnsembleClassifier, JointEnsembleRegressor
from sklearn_jointens.losses import HeteroscedasticGaussianLoss

MEMBERS = {
    "table": table(),
    "plain": plain(),
    "counts": table(criterion=nn.PoissonNLLLoss),
    "full counts": table(criterion=nn.PoissonNLLLoss, criterion__full=True),
    "variances": plain(criterion=HeteroscedasticGaussianLoss),
    "huber": table(criterion=nn.HuberLoss, criterion__delta=0.5),
    "smooth": table(criterion=nn.SmoothL1Loss, criterion__beta=0.5),
    "absolute": plain(criterion=nn.L1Loss),
}


@pytest.mark.quick(1)
@pytest.mark.parametrize("member", MEMBERS.values(), ids=MEMBERS)
@pytest.mark.parametrize("several", [False, True])
def test_members_of_this_package_come_back_without_a_prototype(
    member, several, tmp_path
):
    X, y = data()
    y = np.c_[y, 1e-3 * X[:, 0]] if several else 1e30 * y
    if not hasattr(member, "n_bins") and not several:
        y = y / 1e30
    fitted = ensemble(member).fit(X, y)
    fitted.save(tmp_path / "file")

    again = JointEnsembleRegressor.load(tmp_path / "file")

    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))
    np.testing.assert_array_equal(again.member_predict(X), fitted.member_predict(X))
    assert units(again) == units(fitted)
    assert again.history_.to_list() == [
        {**row, "batches": []} for row in fitted.history_.to_list()
    ]
    for one in (again, fitted):
        one.set_params(warm_start=True).fit(X, y)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_the_default_member_comes_back(tmp_path):
    X, y = data(60)
    frame = pd.DataFrame(X, columns=list("abcdef")).assign(kind=list("xyz") * 20)
    fitted = JointEnsembleRegressor(n_estimators=2, random_state=0).fit(frame, 1e5 * y)
    fitted.save(tmp_path / "file")

    again = JointEnsembleRegressor.load(tmp_path / "file")

    assert again.estimator is None
    np.testing.assert_array_equal(again.predict(frame), fitted.predict(frame))
    again.set_params(estimator__max_epochs=2).fit(frame, y)


def test_labels_come_back_without_a_prototype(tmp_path):
    fitted = of_labels().fit(LABEL_X, LABEL_Y)
    fitted.save(tmp_path / "file")

    again = JointEnsembleClassifier.load(tmp_path / "file")

    for method in ("predict", "predict_proba"):
        np.testing.assert_array_equal(
            getattr(again, method)(LABEL_X), getattr(fitted, method)(LABEL_X)
        )
    np.testing.assert_array_equal(again.classes_, fitted.classes_)


def test_a_net_of_the_users_own_needs_its_prototype(tmp_path):
    X, y = data()
    net = NeuralNetRegressor(nn.Linear, module__in_features=6, module__out_features=1)
    net.set_params(train_split=None, verbose=0, max_epochs=2)
    fitted = ensemble(net, bootstrap=True).fit(X, y)
    fitted.save(tmp_path / "file")

    with pytest.raises(ValueError, match="'estimator' parameter"):
        JointEnsembleRegressor.load(tmp_path / "file")

    again = JointEnsembleRegressor.load(tmp_path / "file", net)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


def test_an_ensemble_of_the_other_kind_is_refused(tmp_path):
    X, y = data()
    ensemble().fit(X, y).save(tmp_path / "numbers")
    of_labels().fit(LABEL_X, LABEL_Y).save(tmp_path / "labels")

    for kind, name in (
        (JointEnsembleClassifier, "numbers"),
        (JointEnsembleRegressor, "labels"),
    ):
        with pytest.raises(ValueError, match="does not hold a " + kind.__name__):
            kind.load(tmp_path / name)


def test_copies_by_other_ways():
    X, y = data()
    fitted = ensemble().fit(X, 1e5 * y)

    for copied in (
        pickle.loads(pickle.dumps(fitted)),
        cloudpickle.loads(cloudpickle.dumps(fitted)),
    ):
        np.testing.assert_allclose(copied.predict(X), fitted.predict(X), rtol=1e-12)
        for one, other in zip(copied.estimators_, fitted.estimators_, strict=True):
            np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-12)
    alone = pickle.loads(pickle.dumps(fitted.estimators_[0]))
    of_first = fitted.member_predict(X)[0]
    np.testing.assert_allclose(alone.predict(X), of_first, rtol=1e-12)


def test_skops_knows_regressors(tmp_path):
    X, y = data()
    fitted = ensemble().fit(X, 1e5 * y)
    dump(fitted, tmp_path / "file")

    unknown = get_untrusted_types(file=tmp_path / "file")

    again = load(tmp_path / "file", trusted=unknown)
    np.testing.assert_array_equal(again.predict(X), fitted.predict(X))


# -- hostile files ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def numbers():
    X, y = data()
    return ensemble(table(max_epochs=1), n_estimators=3).fit(X, 1e5 * y)


def refused(fitted, path, alter):
    """The sentence that a changed file is refused with."""
    fitted.save(path)
    rewrite(path, alter)
    with pytest.raises(ValueError, match="fits this prototype: ") as caught:
        type(fitted).load(path)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message
    return message


TARGETS = {
    "none": change("targets", to=None),
    "nothing": change("targets", to={}),
    "classes": change("targets", to={"classes": {"dtype": "<i8", "values": [0, 1]}}),
    "labels": change("targets", to={"n_labels": 1}),
    "more": change("targets", "code", to="import os"),
    "origin that is none": change("targets", "origin", to=None),
    "origin of nothing": change("targets", "origin", to=[]),
    "origin of text": change("targets", "origin", to=["0"]),
    "origin that is NaN": change("targets", "origin", to=[math.nan]),
    "origin without an end": change("targets", "origin", to=[math.inf]),
    "huge origin": change("targets", "origin", to=[10**400]),
    "nested origin": change("targets", "origin", to=[[0.0]]),
    "unit of 0": change("targets", "unit", to=[0.0]),
    "negative unit": change("targets", "unit", to=[-1.0]),
    "unit that is NaN": change("targets", "unit", to=[math.nan]),
    "unit that is true": change("targets", "unit", to=[True]),
    "more units": change("targets", "unit", to=[1.0, 1.0]),
    "more targets": change(
        "targets", to={"is_flat": False, "origin": [0.0] * 2, "unit": [1.0] * 2}
    ),
    "flat targets": change(
        "targets", to={"is_flat": True, "origin": [0.0] * 2, "unit": [1.0] * 2}
    ),
    "flatness that is none": change("targets", "is_flat", to=1),
}
MANY = {
    "units": change(
        "targets", to={"is_flat": False, "origin": [0.0] * 10**5, "unit": [1.0] * 10**5}
    ),
    **{name: HUGE[name] for name in ("hidden layers", "many layers")},
}


@pytest.mark.quick(10)
@pytest.mark.parametrize("alter", TARGETS.values(), ids=TARGETS)
def test_changed_targets_are_refused(alter, numbers, tmp_path):
    refused(numbers, tmp_path / "file", alter)


def test_the_sentence_says_what_is_wrong(numbers, tmp_path):
    message = refused(numbers, tmp_path / "file", TARGETS["unit of 0"])

    assert message.endswith(": 'unit' must be 1 floats above 0. Got [0.0] instead.")


@pytest.mark.quick(1)
@needs_linux
@pytest.mark.parametrize("alter", MANY.values(), ids=MANY)
def test_no_size_is_taken_on_trust(alter, numbers, tmp_path):
    peak = peak_megabytes(lambda: refused(numbers, tmp_path / "file", alter))

    assert peak < 80


@pytest.mark.quick(1)
@pytest.mark.parametrize("n_labels", [0, -1, 2, 4, 2**62, 10**30, True, "3", None, [3]])
@needs_linux
def test_changed_labels_are_refused(n_labels, tmp_path):
    fitted = of_labels().fit(LABEL_X, LABEL_Y)
    alter = change("targets", "n_labels", to=n_labels)

    assert peak_megabytes(lambda: refused(fitted, tmp_path / "file", alter)) < 50


@pytest.mark.parametrize("part", ["Adam", "GaussianNLLLoss", "os", 3])
def test_criteria_are_known_ones(part, numbers, tmp_path):
    alter = change("prototype", "params", "criterion", to={"part": part})

    refused(numbers, tmp_path / "file", alter)
