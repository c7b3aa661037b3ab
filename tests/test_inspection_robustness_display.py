"""`RobustnessCurveDisplay`: what it draws, where, and what it says."""

import sys

import matplotlib as mpl
import numpy as np
import pytest
from inspected import BY_NAME, fitted
from kinds import rows
from matplotlib.colors import same_color
from tools import legend_texts

from sklearn_jointens import inspection
from sklearn_jointens.inspection import RobustnessCurveDisplay, robustness_curve

mpl.use("Agg")

import matplotlib.pyplot as plt

X, Y = rows(), BY_NAME["classes"].y
SCORES = np.array([[0.9, 0.9], [0.8, 0.7], [0.5, 0.3]])


def display_of(**params):
    settings = {"scores": SCORES, "n_dropped": [0, 5, 9], "n_members": 10}
    return RobustnessCurveDisplay(**{**settings, **params})


# -- what is drawn ---------------------------------------------------------------------


def test_line_is_the_mean_over_repeats_against_the_share_dropped():
    display = display_of(score_name="accuracy").plot()

    np.testing.assert_allclose(display.line_.get_xdata(), [0, 0.5, 0.9])
    np.testing.assert_allclose(display.line_.get_ydata(), [0.9, 0.75, 0.4])
    assert display.ax_.get_xlabel() == "Share of members dropped"
    assert display.ax_.get_ylabel() == "Accuracy"
    assert display.figure_ is display.ax_.figure


def test_numbers_of_members_can_be_drawn():
    display = display_of(n_members=None).plot(x_axis="number")

    np.testing.assert_array_equal(display.line_.get_xdata(), [0, 5, 9])
    assert display.ax_.get_xlabel() == "Number of members dropped"


def test_probabilities_are_drawn_as_they_are():
    shares = [0, 0.3, 0.6]
    display = display_of(n_dropped=None, drop_probability=shares).plot()

    np.testing.assert_array_equal(display.line_.get_xdata(), shares)
    assert display.ax_.get_xlabel() == "Probability to drop a member"


def test_band_is_one_standard_deviation_to_each_side():
    display = display_of().plot()

    corners = display.fill_between_.get_paths()[0].vertices
    for place, scores in zip([0, 0.5, 0.9], SCORES, strict=True):
        heights = corners[corners[:, 0] == place, 1]
        assert heights.min() == pytest.approx(scores.mean() - scores.std())
        assert heights.max() == pytest.approx(scores.mean() + scores.std())
    colour = display.fill_between_.get_facecolor()[0, :3]
    assert same_color(colour, display.line_.get_color())


def test_spread_can_be_left_out():
    display = display_of().plot(std_display_style=None)

    assert display.fill_between_ is None
    assert not display.ax_.collections


def test_scores_can_be_negated():
    display = display_of(scores=-SCORES, score_name="neg_log_loss").plot(
        negate_score=True
    )

    np.testing.assert_allclose(display.line_.get_ydata(), SCORES.mean(axis=1))
    assert display.ax_.get_ylabel() == "Log loss"


def test_looks_can_be_chosen():
    display = display_of(name="its own").plot(
        name="told", color="red", ls="--", fill_between_kw={"alpha": 0.5}
    )

    assert same_color(display.line_.get_color(), "red")
    assert display.line_.get_linestyle() == "--"
    assert display.fill_between_.get_alpha() == 0.5
    assert legend_texts(display.ax_) == ["told"]


def test_without_a_name_there_is_no_legend():
    assert display_of().plot().ax_.get_legend() is None


# -- of an ensemble --------------------------------------------------------------------


def test_curve_of_an_ensemble_is_drawn_under_its_lam():
    ensemble = fitted("classes")
    display = RobustnessCurveDisplay.from_estimator(
        ensemble, X, Y, n_repeats=3, random_state=0
    )

    curve = robustness_curve(ensemble, X, Y, n_repeats=3, random_state=0)
    np.testing.assert_array_equal(display.scores, curve.scores)
    np.testing.assert_allclose(display.line_.get_ydata(), curve.scores.mean(axis=1))
    assert legend_texts(display.ax_) == ["lam = 0.5"]


def test_all_parameters_of_the_curve_are_taken():
    params = {
        "drop_probability": [0.1, 0.5],
        "n_repeats": 2,
        "subset": "batch",
        "scoring": "neg_log_loss",
        "sample_weight": np.linspace(0, 1, len(X)),
        "random_state": 3,
    }
    display = RobustnessCurveDisplay.from_estimator(fitted("classes"), X, Y, **params)

    curve = robustness_curve(fitted("classes"), X, Y, **params)
    np.testing.assert_array_equal(display.scores, curve.scores)
    np.testing.assert_array_equal(display.line_.get_xdata(), [0.1, 0.5])
    assert display.score_name == "neg_log_loss"


def test_several_ensembles_share_axes():
    _, ax = plt.subplots()
    for lam in (0.0, 0.5):
        display = RobustnessCurveDisplay.from_estimator(
            fitted("classes", lam=lam), X, Y, n_repeats=2, ax=ax
        )

        assert display.ax_ is ax
    assert len(ax.lines) == 2
    assert legend_texts(ax) == ["lam = 0", "lam = 0.5"]


def test_known_curve_is_drawn():
    curve = robustness_curve(fitted("numbers"), X, BY_NAME["numbers"].y, n_repeats=2)
    display = RobustnessCurveDisplay.from_curve(curve, name="mine", x_axis="number")

    np.testing.assert_array_equal(display.line_.get_xdata(), curve.n_dropped)
    assert display.ax_.get_ylabel() == "R2"
    assert legend_texts(display.ax_) == ["mine"]


# -- wrong input -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "plot_params", "message"),
    [
        ({"scores": SCORES[:2]}, {}, r"'scores' .* n_points = 3.* shape \(2, 2\)"),
        ({"scores": SCORES[:, 0]}, {}, r"'scores' .* shape \(3,\) instead"),
        ({"n_dropped": None}, {}, "Exactly one of the 'n_dropped'"),
        ({"drop_probability": [0, 0.1, 0.2]}, {}, "Exactly one of the 'n_dropped'"),
        ({"n_members": None}, {}, "'n_members' .* x_axis='share'. Got None instead"),
        ({}, {"x_axis": "lam"}, "'x_axis' .* Got 'lam' instead"),
        ({}, {"ax": "top"}, "'ax' .* Got 'top' instead"),
        ({}, {"std_display_style": "bars"}, "'std_display_style' .* Got 'bars'"),
    ],
)
def test_wrong_parameters_are_told(params, plot_params, message):
    with pytest.raises(ValueError, match=message):
        display_of(**params).plot(**plot_params)


def test_matplotlib_is_asked_for_before_any_work(monkeypatch):
    monkeypatch.delattr(inspection, "_panels", raising=False)
    monkeypatch.setitem(sys.modules, "sklearn_jointens.inspection._panels", None)
    message = "RobustnessCurveDisplay.from_estimator requires matplotlib"
    with pytest.raises(ImportError, match=message):
        RobustnessCurveDisplay.from_estimator(None, X, Y)
    with pytest.raises(ImportError, match=r"Display.plot requires"):
        display_of().plot()
