"""`risk_coverage_curve` and its display: error among the most certain rows."""

import sys
from functools import cache
from itertools import permutations

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from kinds import KINDS, rows
from sklearn.metrics import log_loss, mean_squared_error

from sklearn_jointens import JointEnsembleClassifier, inspection, tabular_classifier
from sklearn_jointens.inspection import (
    RiskCoverageDisplay,
    diversity_decomposition,
    risk_coverage_curve,
    uncertainty,
)

mpl.use("Agg")


X = rows()
OF = {kind.name: kind for kind in KINDS}


@cache
def fitted(name, lam=0, n_estimators=3):
    kind = OF[name]
    return kind.ensemble(lam=lam, n_estimators=n_estimators).fit(X, kind.y)


def risks(losses, order):
    return [np.mean(losses[order[:k]]) for k in range(1, len(losses) + 1)]


# -- the curve -----------------------------------------------------------------------


def test_risk_is_the_mean_loss_of_the_most_certain_rows():
    random = np.random.RandomState(0)
    losses, unsure = random.exponential(size=9), random.permutation(9)

    curve = risk_coverage_curve(losses, unsure)

    np.testing.assert_allclose(curve.risk, risks(losses, np.argsort(unsure)))
    np.testing.assert_allclose(curve.coverage, np.arange(1, 10) / 9)
    np.testing.assert_allclose(curve.area, np.mean(curve.risk))


@pytest.mark.parametrize("unsure", [[0, 1, 1, 1, 2], [3, 3, 3, 3, 3], [1, 0, 1, 0, 0]])
def test_ties_have_the_mean_risk_over_all_their_orders(unsure):
    losses, unsure = np.array([0.5, 2.0, 0.0, 1.0, 4.0]), np.array(unsure)
    orders = [
        order
        for order in map(np.array, permutations(range(5)))
        if (np.diff(unsure[order]) >= 0).all()
    ]

    curve = risk_coverage_curve(losses, unsure)

    expected = np.mean([risks(losses, order) for order in orders], axis=0)
    np.testing.assert_allclose(curve.risk, expected)


def test_order_of_the_rows_does_not_matter():
    random = np.random.RandomState(0)
    losses, unsure = random.randint(2, size=30), random.randint(5, size=30)
    shuffled = random.permutation(30)

    curve = risk_coverage_curve(losses, unsure)
    other = risk_coverage_curve(losses[shuffled], unsure[shuffled])

    np.testing.assert_allclose(curve.risk, other.risk)


def test_a_perfect_measure_has_the_least_area_and_its_negative_the_largest():
    random = np.random.RandomState(0)
    losses = random.exponential(size=20)

    best, worst = (risk_coverage_curve(losses, s * losses).area for s in (1, -1))
    nothing = risk_coverage_curve(losses, np.zeros(20)).area

    np.testing.assert_allclose(nothing, losses.mean())
    areas = [risk_coverage_curve(losses, random.rand(20)).area for _ in range(20)]
    assert best < min(areas)
    assert max(areas) < worst


def test_wrong_arrays_are_told():
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        risk_coverage_curve([0, 1], [1, 2, 3])
    with pytest.raises(ValueError, match=r"'losses' parameter .* Got \(2, 1\) instead"):
        risk_coverage_curve([[0], [1]], [1, 2])
    with pytest.raises(ValueError, match="uncertainty contains NaN"):
        risk_coverage_curve([0, 1], [1, np.nan])


# -- of an ensemble ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("classes", "ensemble_entropy"),
        ("one logit", "ensemble_entropy"),
        ("labels", "ensemble_entropy"),
        ("numbers", "variance_between"),
        ("several variances", "total_variance"),
    ],
)
def test_errors_are_sorted_by_the_measure_of_the_kind(name, measure):
    model, y = fitted(name), OF[name].y

    display = RiskCoverageDisplay.from_estimator(model, X, y)

    if OF[name].is_of_classes:
        losses = (model.predict(X) != y).reshape(len(X), -1).any(axis=1)
    else:
        losses = ((model.predict(X) - y) ** 2).reshape(len(X), -1).mean(axis=1)
    unsure = uncertainty(model, X)[measure].reshape(len(X), -1).mean(axis=1)
    expected = risk_coverage_curve(losses, unsure)
    np.testing.assert_allclose(display.line_.get_ydata(), expected.risk)
    np.testing.assert_allclose(display.line_.get_xdata(), expected.coverage)
    assert display.name == measure.replace("_", " ").capitalize()


@pytest.mark.parametrize(
    ("name", "risk", "score"),
    [
        ("classes", "error", lambda model, y: 1 - model.score(X, y)),
        ("classes", "loss", lambda model, y: log_loss(y, model.predict_proba(X))),
        ("labels", "error", lambda model, y: 1 - model.score(X, y)),
        ("numbers", "error", lambda model, y: mean_squared_error(y, model.predict(X))),
    ],
)
def test_risk_of_all_rows_is_the_error_of_the_ensemble(name, risk, score):
    model, y = fitted(name), OF[name].y

    display = RiskCoverageDisplay.from_estimator(model, X, y, risk=risk)

    np.testing.assert_allclose(display.risk[-1], score(model, y), rtol=1e-5)


@pytest.mark.parametrize("name", ["labels", "huber"])
def test_the_loss_is_the_criterions(name):
    model, y = fitted(name), OF[name].y

    display = RiskCoverageDisplay.from_estimator(model, X, y, risk="loss")

    parts = diversity_decomposition(model, X, y)
    np.testing.assert_allclose(display.risk[-1], parts.ensemble_loss)


def test_any_array_may_be_the_measure():
    model, y = fitted("classes"), OF["classes"].y
    unsure = np.arange(len(X))[::-1]

    display = RiskCoverageDisplay.from_estimator(
        model, X, y, measure=unsure, name="Age"
    )

    expected = risk_coverage_curve(model.predict(X) != y, unsure)
    np.testing.assert_array_equal(display.risk, expected.risk)
    assert display.line_.get_label() == f"Age (area = {expected.area:.3g})"


def test_a_rewarded_spread_is_judged_without_a_warning():
    model = fitted("classes", lam=0.9)

    display = RiskCoverageDisplay.from_estimator(
        model, X, OF["classes"].y, measure="mutual_information"
    )

    assert len(display.risk) == len(X)


def test_one_member_has_no_order_of_spread():
    model, y = fitted("numbers", n_estimators=1), OF["numbers"].y

    display = RiskCoverageDisplay.from_estimator(model, X, y)

    error = mean_squared_error(y, model.predict(X))
    np.testing.assert_allclose(display.risk, error, rtol=1e-5)


def test_tables_are_read_as_they_come():
    frame = pd.DataFrame({"size": X[:, 0], "kind": pd.Categorical(["a", "b"] * 30)})
    y = np.where(X[:, 0] + (np.arange(60) % 2) > 0.5, "yes", "no")
    clf = JointEnsembleClassifier(
        tabular_classifier((4,), max_epochs=2), n_estimators=2, random_state=0
    ).fit(frame, y)

    display = RiskCoverageDisplay.from_estimator(clf, frame, y)

    np.testing.assert_allclose(display.risk[-1], 1 - clf.score(frame, y))


# -- the picture ---------------------------------------------------------------------


def test_curves_are_drawn_on_one_axes_with_a_level_of_chance():
    first = RiskCoverageDisplay.from_predictions([0, 1, 0], [1, 3, 2], name="A")
    second = RiskCoverageDisplay.from_predictions(
        [0, 1, 0],
        [3, 1, 2],
        name="B",
        ax=first.ax_,
        plot_chance_level=True,
        chance_level_kw={"ls": ":"},
        lw=3,
    )

    assert first.ax_ is second.ax_
    assert second.figure_ is second.ax_.figure
    assert first.chance_level_ is None
    np.testing.assert_allclose(second.chance_level_.get_ydata(), 1 / 3)
    assert second.chance_level_.get_linestyle() == ":"
    assert second.line_.get_linewidth() == 3
    texts = [text.get_text() for text in second.ax_.get_legend().get_texts()]
    assert texts == ["A (area = 0.111)", "B (area = 0.611)", "Random order"]
    low, high = second.ax_.get_ylim()
    assert low <= 0
    assert high >= 1


def test_random_order_is_named_once():
    first = RiskCoverageDisplay.from_predictions(
        [0, 1, 0], [1, 3, 2], name="A", plot_chance_level=True
    )
    second = first.plot(ax=first.ax_, name="B", plot_chance_level=True)

    texts = [text.get_text() for text in second.ax_.get_legend().get_texts()]
    assert [text.partition(" (")[0] for text in texts] == ["A", "Random order", "B"]


def test_names_may_be_left_out():
    curve = risk_coverage_curve([0, 1], [0, 1])
    named = RiskCoverageDisplay(**curve, risk_name="Loss")
    bare = RiskCoverageDisplay(coverage=curve.coverage, risk=curve.risk)

    assert named.plot().line_.get_label() == "Area = 0.25"
    assert named.plot(name="Age").line_.get_label() == "Age (area = 0.25)"
    assert named.ax_.get_ylabel() == "Loss of the rows covered"
    assert bare.plot().line_.get_label() == "Ensemble"
    assert bare.ax_.get_ylabel() == "Risk of the rows covered"


def test_wrong_parameters_are_told():
    model, y = fitted("classes"), OF["classes"].y
    draw = RiskCoverageDisplay.from_estimator

    with pytest.raises(TypeError, match=r"of RiskCoverageDisplay\.from_estimator must"):
        draw(None, X, y)
    for wrong in ("entropy", "variance_between", "member_divergence"):
        with pytest.raises(ValueError, match=f"one of .*'total_entropy.* Got '{wrong}"):
            draw(model, X, y, measure=wrong)
    with pytest.raises(ValueError, match="The 'risk' parameter of"):
        draw(model, X, y, risk="accuracy")
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(model, X, y, measure=[1, 2])
    with pytest.raises(
        ValueError, match=r"The 'ax' parameter of RiskCoverageDisplay\."
    ):
        draw(model, X, y, ax="left")


def test_matplotlib_is_needed_for_plotting_only(monkeypatch):
    display = RiskCoverageDisplay(coverage=[1], risk=[0])
    monkeypatch.setitem(sys.modules, f"{inspection.__name__}._panels", None)
    monkeypatch.delattr(inspection, "_panels", raising=False)

    for name, arguments in {
        "plot": (),
        "from_estimator": (None, None, None),
        "from_predictions": (None, None),
    }.items():
        with pytest.raises(ImportError, match=f"RiskCoverageDisplay.{name} requires"):
            getattr(display, name)(*arguments)
