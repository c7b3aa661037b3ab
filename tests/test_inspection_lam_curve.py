"""`LamCurveDisplay`: what it draws, where, and what it reads of a search."""

import subprocess
import sys
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.colors import same_color
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_diabetes
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, KFold, RandomizedSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tools import legend_texts

from sklearn_jointens import (
    JointEnsembleClassifierCV,
    JointEnsembleRegressorCV,
    mlp_classifier,
    mlp_regressor,
)
from sklearn_jointens.inspection import LamCurveDisplay

mpl.use("Agg")

import matplotlib.pyplot as plt

LAMS = [0, 0.5, 0.9, 0.99, 1]


@pytest.fixture
def arrays():
    """A U-shaped curve, members that get worse, and a diversity that explodes."""
    noise = np.random.RandomState(0).uniform(-0.01, 0.01, size=(5, 3))
    return {
        "lams": LAMS,
        "scores": np.array([[0.93], [0.96], [0.97], [0.97], [0.95]]) + noise,
        "member_scores": np.array([[0.65], [0.6], [0.5], [0.35], [0.15]]) + noise,
        "diversities": np.array([[0.6], [0.9], [1.3], [2.8], [11.0]]) + noise,
        "lam": 0.9,
        "score_name": "accuracy",
    }


def searched(results, scoring=None, refit=True):
    """A search over `LAMS` that has found these arrays of shape (n_lams, n_splits)."""
    search = JointEnsembleClassifierCV(lams=LAMS, scoring=scoring, refit=refit)
    search.lams_ = np.array(LAMS)
    search.multimetric_ = isinstance(scoring, list)
    search.cv_results_ = {}
    for name, values in results.items():
        search.cv_results_[f"mean_test_{name}"] = values.mean(axis=1)
        for split, column in enumerate(values.T):
            search.cv_results_[f"split{split}_test_{name}"] = column
    if refit:
        chosen_by = results[refit if search.multimetric_ else "score"]
        search.lam_ = LAMS[chosen_by.mean(axis=1).argmax()]
    return search


class Dial(ClassifierMixin, BaseEstimator):
    """Right about the first (1 - lam / 2) of its rows; cannot be fitted at 0.5."""

    def __init__(self, lam=0.0, size=1):
        self.lam = lam
        self.size = size

    def fit(self, X, y):
        if self.lam == 0.5:
            raise ValueError("not at 0.5")
        self.classes_ = np.unique(y)
        return self

    def predict(self, X):
        right = np.arange(len(X)) < (1 - self.lam / 2) * len(X)
        return np.where(right, X[:, 0] > 0, X[:, 0] <= 0).astype(int)


def dial_data():
    X = np.random.RandomState(0).randn(80, 2)
    return X, (X[:, 0] > 0).astype(int)


def search_dial(params, **settings):
    return GridSearchCV(Dial(), params, cv=KFold(2), **settings).fit(*dial_data())


# -- what is drawn -------------------------------------------------------------------


@pytest.mark.parametrize("style", ["fill_between", "errorbar", None])
def test_lines_are_means_over_splits(arrays, style):
    display = LamCurveDisplay(**arrays).plot(std_display_style=style)

    for line, parameter in (
        ("ensemble", "scores"),
        ("members", "member_scores"),
        ("diversity", "diversities"),
    ):
        drawn = display.lines_[line]
        np.testing.assert_array_equal(drawn.get_xdata(), range(5))
        np.testing.assert_allclose(drawn.get_ydata(), arrays[parameter].mean(axis=1))
        assert drawn in display.axes_[line].lines


def test_band_is_one_standard_deviation_to_each_side(arrays):
    display = LamCurveDisplay(**arrays).plot()

    mean, std = arrays["scores"].mean(axis=1), arrays["scores"].std(axis=1)
    corners = display.fill_between_.get_paths()[0].vertices
    for place in range(5):
        heights = corners[corners[:, 0] == place, 1]
        assert heights.min() == pytest.approx(mean[place] - std[place])
        assert heights.max() == pytest.approx(mean[place] + std[place])
    assert display.errorbar_ is None


def test_error_bars_are_one_standard_deviation_to_each_side(arrays):
    display = LamCurveDisplay(**arrays).plot(std_display_style="errorbar")

    mean, std = arrays["scores"].mean(axis=1), arrays["scores"].std(axis=1)
    (bars,) = display.errorbar_.lines[2]
    ends = np.array(bars.get_segments())[:, :, 1]
    np.testing.assert_allclose(ends, np.column_stack([mean - std, mean + std]))
    assert display.fill_between_ is None


def test_spread_can_be_left_out(arrays):
    display = LamCurveDisplay(**arrays).plot(std_display_style=None)

    assert display.fill_between_ is None
    assert display.errorbar_ is None
    assert not display.ax_.collections


def test_curves_go_from_small_to_large_lam_in_any_order_given(arrays):
    order = [3, 0, 4, 2, 1]
    shuffled = dict(arrays, lams=np.array(LAMS)[order])
    for name in ("scores", "member_scores", "diversities"):
        shuffled[name] = arrays[name][order]

    in_order = LamCurveDisplay(**arrays).plot()
    display = LamCurveDisplay(**shuffled).plot()

    for name, line in in_order.lines_.items():
        np.testing.assert_array_equal(
            line.get_xydata(), display.lines_[name].get_xydata()
        )


@pytest.mark.parametrize("missing", [np.nan, -np.inf])
def test_a_failed_fit_leaves_a_gap(arrays, missing):
    arrays["scores"][1, 2] = missing
    arrays["diversities"][3, 0] = np.nan

    display = LamCurveDisplay(**arrays).plot()

    gaps = {n: np.isnan(display.lines_[n].get_ydata()) for n in display.axes_}
    np.testing.assert_array_equal(np.flatnonzero(gaps["ensemble"]), [1])
    np.testing.assert_array_equal(np.flatnonzero(gaps["diversity"]), [3])
    assert not gaps["members"].any()
    drawn = np.concatenate([p.vertices for p in display.fill_between_.get_paths()])
    assert 1 not in drawn[:, 0]
    low, high = display.ax_.get_ylim()
    assert 0.9 < low < high < 1.05


def test_search_whose_fits_all_failed_can_be_drawn():
    display = LamCurveDisplay(lams=[0, 1], scores=np.full((2, 3), np.nan)).plot()

    display.figure_.canvas.draw()
    assert np.isnan(display.lines_["ensemble"].get_ydata()).all()


@pytest.mark.parametrize(
    ("name", "negate", "label"),
    [
        ("neg_log_loss", True, "Log loss"),
        ("neg_log_loss", False, "Negative log loss"),
        ("accuracy", False, "Accuracy"),
        ("accuracy", True, "Negative accuracy"),
        ("ROC AUC", False, "ROC AUC"),
        (None, False, "Score"),
        (None, True, "Negative score"),
    ],
)
def test_metric_is_named_readably_and_negated_on_demand(arrays, name, negate, label):
    arrays["score_name"] = name

    display = LamCurveDisplay(**arrays).plot(negate_score=negate)

    assert display.ax_.get_ylabel() == label
    assert display.axes_["members"].get_ylabel() == label
    sign = -1 if negate else 1
    for line, values in (
        ("ensemble", sign * arrays["scores"]),
        ("members", sign * arrays["member_scores"]),
        ("diversity", arrays["diversities"]),
    ):
        drawn = display.lines_[line].get_ydata()
        np.testing.assert_allclose(drawn, values.mean(axis=1))


def test_name_given_to_plot_comes_first(arrays):
    display = LamCurveDisplay(**arrays).plot(score_name="Hits")

    assert display.ax_.get_ylabel() == "Hits"


def test_styles_reach_the_curves_also_when_abbreviated(arrays):
    display = LamCurveDisplay(**arrays).plot(
        line_kw={"c": "black", "lw": 5, "label": "16 of 64"},
        fill_between_kw={"alpha": 0.5},
        member_line_kw={"ls": ":"},
        diversity_line_kw={"marker": "x"},
        lam_line_kw={"color": "red"},
    )

    lines = display.lines_
    assert lines["ensemble"].get_color() == lines["members"].get_color() == "black"
    assert lines["ensemble"].get_linewidth() == 5
    assert "16 of 64" in legend_texts(display.ax_)
    assert display.fill_between_.get_alpha() == 0.5
    assert lines["members"].get_linestyle() == ":"
    assert lines["diversity"].get_marker() == "x"
    assert lines["lam"].get_color() == "red"


def test_style_of_error_bars(arrays):
    display = LamCurveDisplay(**arrays).plot(
        std_display_style="errorbar", errorbar_kw={"ecolor": "red"}
    )

    (bars,) = display.errorbar_.lines[2]
    assert same_color(bars.get_color()[0], "red")


def test_curves_can_be_told_apart_without_colour(arrays):
    lines = LamCurveDisplay(**arrays).plot().lines_

    assert len({line.get_linestyle() for line in lines.values()}) == 4
    assert len({line.get_marker() for line in lines.values()}) == 4


# -- the x axis ----------------------------------------------------------------------


@pytest.mark.parametrize(("x_scale", "place"), [("even", 3), ("linear", 0.99)])
def test_chosen_lam_is_marked_where_it_stands(arrays, x_scale, place):
    arrays["lam"] = 0.99

    display = LamCurveDisplay(**arrays).plot(x_scale=x_scale)

    np.testing.assert_array_equal(display.lines_["lam"].get_xdata(), [place] * 2)
    assert legend_texts(display.ax_) == ["Ensemble", "Chosen: lam = 0.99"]
    upright = [
        line
        for line in display.axes_["members"].lines
        if list(line.get_xdata()) == [place] * 2
    ]
    assert len(upright) == 1
    assert legend_texts(display.axes_["members"]) == ["Mean member", "Diversity"]


def test_without_a_chosen_lam_there_is_no_mark(arrays):
    arrays["lam"] = None

    display = LamCurveDisplay(**arrays).plot()

    assert "lam" not in display.lines_
    assert legend_texts(display.ax_) == ["Ensemble"]


def test_even_scale_gives_each_lam_the_same_room_under_its_name(arrays):
    display = LamCurveDisplay(**arrays).plot()

    axis = display.axes_["members"].xaxis
    display.figure_.canvas.draw()
    np.testing.assert_array_equal(axis.get_ticklocs(), range(5))
    texts = [text.get_text() for text in axis.get_ticklabels()]
    assert texts == ["0", "0.5", "0.9", "0.99", "1"]


def test_linear_scale_is_true(arrays):
    display = LamCurveDisplay(**arrays).plot(x_scale="linear")

    np.testing.assert_array_equal(display.lines_["ensemble"].get_xdata(), LAMS)


def test_a_lam_that_was_tried_twice_stands_at_one_place():
    display = LamCurveDisplay(lams=[0, 1, 0], scores=[[0.1], [0.3], [0.2]]).plot()

    drawn = display.lines_["ensemble"].get_xydata()
    np.testing.assert_allclose(drawn, [[0, 0.1], [0, 0.2], [1, 0.3]])


@pytest.mark.quick(3)
@pytest.mark.parametrize("x_scale", ["even", "linear"])
@pytest.mark.parametrize("width", [3, 6.4, 12])
@pytest.mark.parametrize(
    "lams",
    [
        LAMS,
        [0, 0.5, 0.8, 0.9, 0.95, 0.97, 0.99, 0.999, 1],
        np.linspace(0, 1, 41),
        np.random.RandomState(0).uniform(size=30),
    ],
    ids=["default", "near one", "many", "random"],
)
def test_names_of_lams_do_not_overlap(lams, width, x_scale):
    figure, ax = plt.subplots(figsize=(width, 3), layout="constrained")
    scores = np.random.RandomState(0).uniform(size=(len(lams), 3))

    LamCurveDisplay(lams=lams, scores=scores).plot(ax=ax, x_scale=x_scale)

    figure.canvas.draw()
    boxes = [text.get_window_extent() for text in ax.get_xticklabels()]
    assert len(boxes) >= 2
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_cursor_beside_the_curves_has_a_lam_too(arrays):
    display = LamCurveDisplay(**arrays).plot()

    assert [display.ax_.format_xdata(x) for x in (-3, 1.2, 9)] == ["0", "0.5", "1"]


# -- the axes ------------------------------------------------------------------------


def test_the_ensemble_is_not_flattened_by_its_members(arrays):
    display = LamCurveDisplay(**arrays).plot()

    low, high = display.ax_.get_ylim()
    curve = display.lines_["ensemble"].get_ydata()
    assert np.ptp(curve) > 0.4 * (high - low)
    lower = display.axes_["members"]
    assert lower.get_position().y1 < display.ax_.get_position().y0
    assert display.ax_.get_shared_x_axes().joined(display.ax_, lower)
    assert [bool(a.get_xlabel()) for a in (display.ax_, lower)] == [False, True]


def test_diversity_has_an_axis_of_its_own(arrays):
    display = LamCurveDisplay(**arrays).plot()

    axes = display.axes_["diversity"]
    colour = display.lines_["diversity"].get_color()
    assert axes.get_position().bounds == display.axes_["members"].get_position().bounds
    assert axes.get_ylabel() == "Diversity"
    assert axes.yaxis.label.get_color() == colour
    assert not same_color(colour, display.lines_["members"].get_color())


def test_one_axes_takes_all(arrays):
    figure, (ax, other) = plt.subplots(1, 2)

    display = LamCurveDisplay(**arrays).plot(ax=ax)

    assert display.ax_ is display.axes_["members"] is ax
    assert display.figure_ is figure
    assert len(figure.axes) == 3
    assert display.axes_["diversity"] is figure.axes[2]
    assert not other.has_data()
    assert legend_texts(ax) == [
        "Ensemble",
        "Mean member",
        "Chosen: lam = 0.9",
        "Diversity",
    ]


def test_a_dict_says_what_is_drawn_and_where(arrays):
    _, axes = plt.subplot_mosaic([["ensemble", "diversity", "other"]])

    display = LamCurveDisplay(**arrays).plot(ax=axes)

    assert display.axes_ == {k: axes[k] for k in ("ensemble", "diversity")}
    assert set(display.lines_) == {"ensemble", "diversity", "lam"}
    assert not axes["other"].has_data()


def test_what_there_is_no_data_for_gets_no_axes(arrays):
    del arrays["member_scores"]
    with_diversity = LamCurveDisplay(**arrays).plot()
    del arrays["diversities"]
    alone = LamCurveDisplay(**arrays).plot()

    assert set(with_diversity.axes_) == {"ensemble", "diversity"}
    assert len(with_diversity.figure_.axes) == 2
    assert set(alone.axes_) == {"ensemble"}
    assert alone.figure_.axes == [alone.ax_]
    assert alone.ax_.get_xlabel()


def test_every_plot_without_axes_is_a_new_figure(arrays):
    display = LamCurveDisplay(**arrays)

    first = display.plot().figure_

    assert display.plot().figure_ is not first


def test_second_display_joins_the_first_in_a_hue_of_its_own(arrays):
    first = LamCurveDisplay(**arrays).plot(line_kw={"label": "small"})
    n_axes = len(first.figure_.axes)
    arrays |= {"scores": arrays["scores"] + 0.5, "lam": 0.5}

    second = LamCurveDisplay(**arrays).plot(ax=first.axes_, line_kw={"label": "large"})

    assert len(first.figure_.axes) == n_axes
    colours = [d.lines_["ensemble"].get_color() for d in (first, second)]
    assert not same_color(*colours)
    assert same_color(second.lines_["members"].get_color(), colours[1])
    texts = ["small", "Chosen: lam = 0.9", "large", "Chosen: lam = 0.5"]
    assert legend_texts(first.ax_) == texts
    low, high = first.ax_.get_ylim()
    assert low < 0.93
    assert high > 1.47


@pytest.mark.quick(1)
@pytest.mark.parametrize("where", ["own figure", "one axes", "overlay"])
def test_legends_cover_no_curve(arrays, where):
    ax = plt.subplots()[1] if where == "one axes" else None
    display = LamCurveDisplay(**arrays).plot(ax=ax)
    if where == "overlay":
        display = LamCurveDisplay(**arrays).plot(ax=display.axes_)

    display.figure_.canvas.draw()

    legends = [a.get_legend() for a in display.figure_.axes if a.get_legend()]
    boxes = [legend.get_window_extent() for legend in legends]
    assert len(boxes) == (1 if where == "one axes" else 2)
    for name, axes in display.axes_.items():
        corners = [display.lines_[name].get_xydata()]
        if name == "ensemble":
            corners += [p.vertices for p in display.fill_between_.get_paths()]
        for x, y in axes.transData.transform(np.concatenate(corners)):
            assert not any(box.contains(x, y) for box in boxes)


def test_room_for_the_legend_is_made_once(arrays):
    first = LamCurveDisplay(**arrays).plot()
    limits = first.axes_["diversity"].get_ylim()
    del arrays["diversities"]

    unnamed = {"label": "_nolegend_"}
    LamCurveDisplay(**arrays).plot(ax=first.axes_, member_line_kw=unnamed)

    assert first.axes_["diversity"].get_ylim() == pytest.approx(limits)
    assert legend_texts(first.axes_["members"]) == ["Mean member", "Diversity"]


def test_legend_is_no_wider_than_narrow_axes(arrays):
    figure, ax = plt.subplots(figsize=(3, 4))

    LamCurveDisplay(**arrays).plot(ax=ax)

    figure.canvas.draw()
    assert ax.get_legend().get_window_extent().width <= ax.get_window_extent().width


def test_an_inset_can_be_drawn_on(arrays):
    _, ax = plt.subplots()
    inset = ax.inset_axes([0.1, 0.1, 0.5, 0.5])

    LamCurveDisplay(**arrays).plot(ax={"ensemble": inset})

    assert legend_texts(inset) == ["Ensemble", "Chosen: lam = 0.9"]
    assert not ax.has_data()


def test_limits_that_were_set_stay(arrays):
    _, ax = plt.subplots()
    ax.set_ylim(0, 1)

    LamCurveDisplay(**arrays).plot(ax=ax)

    assert ax.get_ylim() == (0, 1)


# -- from a search -------------------------------------------------------------------


def test_curves_of_a_search_fit_together(digits):
    search = JointEnsembleClassifierCV(
        mlp_classifier(hidden_layer_sizes=(4,), max_epochs=3),
        n_estimators=3,
        lams=[0.9, 0],
        cv=2,
        scoring="neg_log_loss",
        random_state=0,
    )
    display = LamCurveDisplay.from_estimator(search.fit(*digits), negate_score=True)

    assert display.lam == search.lam_
    np.testing.assert_allclose(
        display.lines_["ensemble"].get_ydata(),
        -search.cv_results_["mean_test_score"][[1, 0]],
    )
    # Diversity is what the ensemble's loss gains over its mean member's (eq. 5).
    heights = {name: line.get_ydata() for name, line in display.lines_.items()}
    np.testing.assert_allclose(
        heights["diversity"], heights["members"] - heights["ensemble"], rtol=1e-4
    )


def test_search_is_read_split_by_split(arrays):
    results = {
        "score": arrays["scores"],
        "member_score": arrays["member_scores"],
        "diversity": arrays["diversities"],
    }
    search = searched(results)

    display = LamCurveDisplay.from_estimator(search)

    np.testing.assert_array_equal(display.lams, LAMS)
    np.testing.assert_array_equal(display.scores, arrays["scores"])
    np.testing.assert_array_equal(display.member_scores, arrays["member_scores"])
    np.testing.assert_array_equal(display.diversities, arrays["diversities"])
    assert display.lam == search.lam_
    assert display.ax_.get_ylabel() == "Accuracy"


def two_metrics(arrays):
    return {
        "accuracy": arrays["scores"],
        "member_accuracy": arrays["member_scores"],
        "neg_log_loss": -arrays["scores"],
        "member_neg_log_loss": -arrays["member_scores"],
        "diversity": arrays["diversities"],
    }


@pytest.mark.parametrize("metric", [None, "accuracy", "neg_log_loss"])
def test_one_of_several_metrics_is_drawn_that_of_refit_by_default(arrays, metric):
    results = two_metrics(arrays)
    search = searched(results, ["accuracy", "neg_log_loss"], refit="neg_log_loss")

    display = LamCurveDisplay.from_estimator(search, metric=metric)

    expected = metric or "neg_log_loss"
    np.testing.assert_array_equal(display.scores, results[expected])
    np.testing.assert_array_equal(display.member_scores, results[f"member_{expected}"])
    np.testing.assert_array_equal(display.diversities, arrays["diversities"])
    assert display.score_name == expected
    # What is marked is what the search has chosen, by its own metric.
    assert display.lam == search.lam_ == 0


def test_parameters_of_plot_pass_through(arrays):
    search = searched({"score": -arrays["scores"]}, "neg_log_loss")
    _, ax = plt.subplots()

    display = LamCurveDisplay.from_estimator(
        search, ax=ax, negate_score=True, x_scale="linear"
    )

    assert display.ax_ is ax
    assert ax.get_ylabel() == "Log loss"
    np.testing.assert_array_equal(display.lines_["ensemble"].get_xdata(), LAMS)
    again = LamCurveDisplay.from_estimator(search, score_name="Hits").plot()
    assert again.ax_.get_ylabel() == "Hits"


@pytest.mark.parametrize(
    ("scoring", "label"),
    [(None, "Accuracy"), ("f1_macro", "F1 macro"), (lambda *_: 0.0, "<lambda>")],
)
def test_score_is_named_after_the_scoring_of_the_search(scoring, label):
    search = search_dial({"lam": [0, 1]}, scoring=scoring)

    assert LamCurveDisplay.from_estimator(search).ax_.get_ylabel() == label


def test_grid_search_of_scikit_learn_has_the_ensembles_curve():
    pipeline = make_pipeline(StandardScaler(), Dial())
    search = GridSearchCV(pipeline, {"dial__lam": [1, 0, 0.25]}, cv=KFold(2))
    search.fit(*dial_data())

    display = LamCurveDisplay.from_estimator(search)

    np.testing.assert_array_equal(display.lams, [1, 0, 0.25])
    np.testing.assert_allclose(
        display.lines_["ensemble"].get_ydata(),
        search.cv_results_["mean_test_score"][[1, 2, 0]],
    )
    assert display.lam == search.best_params_["dial__lam"] == 0
    assert set(display.axes_) == {"ensemble"}


def test_randomized_search_of_scikit_learn_can_be_read():
    search = RandomizedSearchCV(
        Dial(), {"lam": [0, 0.25, 0.75, 1]}, n_iter=3, cv=KFold(2), random_state=0
    )
    display = LamCurveDisplay.from_estimator(search.fit(*dial_data()))

    tried = search.cv_results_["param_lam"].astype(float)
    np.testing.assert_array_equal(display.lams, tried)


def test_search_that_has_chosen_nothing_is_drawn_without_a_mark():
    search = search_dial({"lam": [0, 1]}, scoring=["accuracy", "f1"], refit=False)

    display = LamCurveDisplay.from_estimator(search, metric="f1")

    assert display.lam is None
    assert "lam" not in display.lines_
    np.testing.assert_allclose(
        display.lines_["ensemble"].get_ydata(), search.cv_results_["mean_test_f1"]
    )


def test_fits_that_failed_in_a_search_leave_a_gap():
    with pytest.warns((FitFailedWarning, UserWarning)):
        search = search_dial({"lam": [0, 0.5, 1]})

    display = LamCurveDisplay.from_estimator(search)

    gaps = np.isnan(display.lines_["ensemble"].get_ydata())
    np.testing.assert_array_equal(gaps, [False, True, False])


# -- errors --------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [LogisticRegression(), None, LamCurveDisplay])
def test_what_is_no_search_over_lam_is_refused(wrong):
    with pytest.raises(TypeError, match=r"'search' parameter of LamCurveDisplay.from_"):
        LamCurveDisplay.from_estimator(wrong)


@pytest.mark.parametrize(
    "search", [JointEnsembleClassifierCV(), GridSearchCV(Dial(), {"lam": [0, 1]})]
)
def test_search_has_to_be_fitted(search):
    with pytest.raises(NotFittedError):
        LamCurveDisplay.from_estimator(search)


@pytest.mark.parametrize("params", [{"size": [1, 2]}, {"lam": [0, 1], "size": [1, 2]}])
def test_search_over_more_than_lam_is_refused(params):
    search = search_dial(params)

    with pytest.raises(ValueError, match=r"searched lam and nothing else\. Got .*size"):
        LamCurveDisplay.from_estimator(search)


@pytest.mark.parametrize("metric", ["recall", "diversity", "member_accuracy"])
def test_unknown_metric_is_refused_with_those_there_are(arrays, metric):
    metrics = ["accuracy", "neg_log_loss"]
    search = searched(two_metrics(arrays), metrics, refit="accuracy")

    message = rf"'metric' parameter .*\['accuracy', 'neg_log_loss'\].* Got '{metric}'"
    with pytest.raises(ValueError, match=message):
        LamCurveDisplay.from_estimator(search, metric=metric)


def test_one_of_several_metrics_must_be_named_without_refit(arrays):
    metrics = ["accuracy", "neg_log_loss"]
    search = searched(two_metrics(arrays), metrics, refit=False)

    with pytest.raises(ValueError, match=r"'metric' parameter .* Got None instead"):
        LamCurveDisplay.from_estimator(search)


@pytest.mark.parametrize("name", ["scores", "member_scores", "diversities"])
@pytest.mark.parametrize("wrong", [np.ones(5), np.ones((3, 5)), 1.0])
def test_arrays_must_have_a_row_for_each_lam(arrays, name, wrong):
    arrays[name] = wrong

    with pytest.raises(ValueError, match=f"The '{name}' parameter .* n_lams = 5"):
        LamCurveDisplay(**arrays).plot()
    assert not plt.get_fignums()


def test_chosen_lam_must_be_one_of_the_lams(arrays):
    arrays["lam"] = 0.7

    with pytest.raises(ValueError, match=r"The 'lam' parameter .* Got 0.7 instead"):
        LamCurveDisplay(**arrays).plot()


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("x_scale", "log"),
        ("std_display_style", "violin"),
        ("negate_score", "yes"),
        ("ax", "left"),
        ("ax", {"members": None}),
    ],
)
def test_wrong_parameters_of_plot_are_named(arrays, name, wrong):
    message = f"The '{name}' parameter of LamCurveDisplay.plot must be .* Got "
    with pytest.raises(ValueError, match=message):
        LamCurveDisplay(**arrays).plot(**{name: wrong})
    assert not plt.get_fignums()


@pytest.mark.parametrize(("lams", "x_scale"), [([0, 1], "even"), (LAMS, "linear")])
def test_axes_with_other_places_of_lams_are_refused(arrays, lams, x_scale):
    axes = LamCurveDisplay(**arrays).plot().axes_
    other = LamCurveDisplay(lams=lams, scores=np.ones((len(lams), 2)))

    with pytest.raises(ValueError, match="must be axes that do not show other lams"):
        other.plot(ax=axes, x_scale=x_scale)


@pytest.mark.slow
def test_matplotlib_is_needed_for_plotting_only():
    script = """
import sys
sys.modules["matplotlib"] = None
from sklearn_jointens.inspection import LamCurveDisplay
display = LamCurveDisplay(lams=[0], scores=[[1]])
for draw in (display.plot, lambda: LamCurveDisplay.from_estimator(None)):
    try:
        draw()
    except ImportError as error:
        print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    plot, from_estimator = run.stdout.splitlines()
    assert plot.startswith("LamCurveDisplay.plot requires matplotlib")
    assert from_estimator.startswith("LamCurveDisplay.from_estimator requires matplot")


def test_the_search_of_a_regressor_is_drawn():
    X, y = load_diabetes(return_X_y=True)
    member = mlp_regressor((3,), max_epochs=1)
    search = JointEnsembleRegressorCV(
        member, n_estimators=2, lams=[0, 1], cv=2, random_state=0
    ).fit(X, y / y.std())

    display = LamCurveDisplay.from_estimator(search)

    np.testing.assert_allclose(
        display.ax_.lines[0].get_ydata(), search.cv_results_["mean_test_score"]
    )
