"""`MemberCurvesDisplay`: what it draws of members' histories."""

import matplotlib as mpl
import numpy as np
import pytest
from kinds import KINDS, each_kind, rows
from matplotlib.colors import to_rgba
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.dataset import ValidSplit
from tools import legend_texts

from sklearn_jointens import JointEnsembleClassifier, MemberFolds
from sklearn_jointens.inspection import MemberCurvesDisplay

mpl.use("Agg")

import matplotlib.pyplot as plt

CLASSES, NUMBERS = KINDS[0], KINDS[4]


@pytest.fixture(scope="module")
def validated():
    """An ensemble with validation rows, whose second epoch is told to be the best."""
    member = CLASSES.member(train_split=ValidSplit(3, stratified=True))
    fitted = CLASSES.ensemble(member).fit(rows(), CLASSES.y)
    for row in fitted.history_:
        row["restored"] = row["epoch"] == 2
    return fitted


def column(ensemble, name):
    return np.array([row[name] for row in ensemble.history_])


def drawn_members(display):
    return np.column_stack([line.get_ydata() for line in display.member_lines_])


@pytest.mark.parametrize("of", ["train", "valid"])
def test_error_is_one_less_accuracy(validated, of):
    display = MemberCurvesDisplay.from_estimator(validated, rows=of)

    expected = 1 - column(validated, f"{of}_member_accuracies")
    np.testing.assert_allclose(drawn_members(display), expected)
    np.testing.assert_array_equal(display.member_lines_[0].get_xdata(), [1, 2, 3])


@pytest.mark.parametrize("of", ["train", "valid"])
def test_losses_are_those_of_the_history(validated, of):
    display = MemberCurvesDisplay.from_estimator(validated, curve="loss", rows=of)

    expected = column(validated, f"{of}_member_losses")
    np.testing.assert_allclose(drawn_members(display), expected)
    np.testing.assert_allclose(
        display.lines_["ensemble"].get_ydata(), column(validated, f"{of}_ensemble_loss")
    )
    name = {"train": "Training", "valid": "Validation"}[of]
    assert display.ax_.get_ylabel() == f"{name} loss"


def test_validation_rows_come_first(validated):
    display = MemberCurvesDisplay.from_estimator(validated)

    assert display.ax_.get_ylabel() == "Validation error"
    np.testing.assert_allclose(
        display.lines_["ensemble"].get_ydata(), 1 - column(validated, "valid_acc")
    )


def test_errors_of_the_ensemble_on_training_rows_are_not_made_up(validated):
    display = MemberCurvesDisplay.from_estimator(validated, rows="train")

    assert "ensemble" not in display.lines_
    assert "Ensemble" not in legend_texts(display.ax_)


def test_best_epoch_is_marked_and_says_who_is_best(validated):
    display = MemberCurvesDisplay.from_estimator(validated, curve="loss")

    assert list(display.lines_["epoch"].get_xdata()) == [2, 2]
    at_best = column(validated, "valid_member_losses")[1]
    assert display.best_member_ == at_best.argmin()
    np.testing.assert_array_equal(
        display.lines_["best"].get_ydata(),
        drawn_members(display)[:, display.best_member_],
    )
    assert legend_texts(display.ax_)[-2:] == [
        f"Best member ({display.best_member_})",
        "Best epoch (2)",
    ]


def test_members_folds_are_not_taken_for_rows_of_the_ensemble():
    member = CLASSES.member(train_split=MemberFolds(3))
    fitted = CLASSES.ensemble(member).fit(rows(), CLASSES.y)

    for curve in ("error", "loss"):
        display = MemberCurvesDisplay.from_estimator(fitted, curve=curve, rows="valid")
        assert "ensemble" not in display.lines_
    np.testing.assert_allclose(
        drawn_members(display), column(fitted, "valid_member_losses")
    )


@each_kind
def test_every_kind_of_targets_can_be_drawn(kind):
    fitted = kind.ensemble().fit(rows(), kind.y)

    display = MemberCurvesDisplay.from_estimator(fitted)

    name = "error" if kind.is_of_classes else "loss"
    assert display.ax_.get_ylabel() == f"Training {name}"
    assert len(display.member_lines_) == 3


def test_a_pipeline_and_a_search_are_looked_into():
    pipeline = make_pipeline(StandardScaler(), CLASSES.ensemble())
    search = CLASSES.search().fit(rows(), CLASSES.y)

    for estimator, ensemble in (
        (pipeline.fit(rows(), CLASSES.y), pipeline[-1]),
        (search, search.best_estimator_),
    ):
        display = MemberCurvesDisplay.from_estimator(estimator)
        expected = 1 - column(ensemble, "train_member_accuracies")
        np.testing.assert_allclose(drawn_members(display), expected)


def test_members_that_came_later_begin_later():
    ensemble = CLASSES.ensemble(n_estimators=2, warm_start=True)
    ensemble.fit(rows(), CLASSES.y).set_params(n_estimators=3).fit(rows(), CLASSES.y)

    display = MemberCurvesDisplay.from_estimator(ensemble)

    gaps = np.isnan(drawn_members(display))
    np.testing.assert_array_equal(gaps[:, 2], [True] * 3 + [False] * 3)
    assert not gaps[:, :2].any()


def test_many_members_are_lighter_than_few():
    curves = np.random.RandomState(0).uniform(size=(5, 256))

    many = MemberCurvesDisplay(member_curves=curves).plot()
    few = MemberCurvesDisplay(member_curves=curves[:, :4]).plot()

    alphas = [d.member_lines_[0].get_alpha() for d in (few, many)]
    assert alphas[0] > alphas[1] > 0
    # In the legend one line stands for all, and has to be seen.
    assert many.ax_.get_legend().legend_handles[0].get_alpha() is None


def test_a_dominant_member_is_the_one_told_apart():
    curves = np.full((4, 6), 0.9)
    curves[:, 3] = [0.9, 0.5, 0.2, 0.1]

    display = MemberCurvesDisplay(member_curves=curves).plot()

    assert display.best_member_ == 3
    colours = {to_rgba(line.get_color()) for line in display.member_lines_}
    assert to_rgba(display.lines_["best"].get_color()) not in colours
    assert display.lines_["best"].get_linestyle() == "--"


def test_one_member_is_not_told_apart_from_itself():
    display = MemberCurvesDisplay(member_curves=[[0.5], [0.4]]).plot()

    assert "best" not in display.lines_
    assert legend_texts(display.ax_) == ["Member"]


def test_a_single_epoch_is_seen():
    display = MemberCurvesDisplay(member_curves=[[0.5, 0.4]], ensemble_curve=[0.3])

    lines = display.plot().lines_

    assert {line.get_marker() for line in lines.values()} == {"o"}
    assert display.member_lines_[0].get_marker() == "o"


def test_styles_and_axes_are_those_given():
    _, ax = plt.subplots()

    display = MemberCurvesDisplay(
        member_curves=[[0.5, 0.4], [0.2, 0.3]], ensemble_curve=[0.1, 0.2], epochs=[7, 8]
    ).plot(
        ax=ax,
        y_scale="log",
        line_kw={"c": "black"},
        member_line_kw={"lw": 3},
        best_line_kw={"ls": ":"},
    )

    assert display.ax_ is ax
    assert display.figure_ is ax.figure
    assert ax.get_yscale() == "log"
    assert display.lines_["ensemble"].get_color() == "black"
    assert [line.get_linewidth() for line in display.member_lines_] == [3, 3]
    assert display.lines_["best"].get_linestyle() == ":"
    np.testing.assert_array_equal(display.lines_["best"].get_xdata(), [7, 8])


# -- errors --------------------------------------------------------------------------


def test_numbers_have_no_error_rate():
    fitted = NUMBERS.ensemble().fit(rows(), NUMBERS.y)

    with pytest.raises(ValueError, match=r"'curve' parameter .* 'loss' or None"):
        MemberCurvesDisplay.from_estimator(fitted, curve="error")


def test_rows_without_a_history_are_refused():
    fitted = CLASSES.ensemble().fit(rows(), CLASSES.y)

    with pytest.raises(ValueError, match=r"'rows' parameter .* \['train'\]"):
        MemberCurvesDisplay.from_estimator(fitted, rows="valid")


@pytest.mark.parametrize(("name", "value"), [("curve", "score"), ("rows", "test")])
def test_unknown_choices_are_refused(validated, name, value):
    message = f"The '{name}' parameter of MemberCurvesDisplay.from_estimator must be"
    with pytest.raises(ValueError, match=message):
        MemberCurvesDisplay.from_estimator(validated, **{name: value})


def test_what_is_no_fitted_ensemble_is_refused():
    with pytest.raises(TypeError, match="'estimator' parameter of MemberCurvesDisplay"):
        MemberCurvesDisplay.from_estimator(LinearRegression())
    with pytest.raises(NotFittedError):
        MemberCurvesDisplay.from_estimator(JointEnsembleClassifier())


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("member_curves", [0.1, 0.2]),
        ("member_curves", np.empty((0, 2))),
        ("ensemble_curve", [0.1]),
        ("epochs", [1, 2, 3]),
        ("best_epoch", 9),
    ],
)
def test_arrays_that_do_not_fit_are_named(name, value):
    arrays = {"member_curves": [[0.1, 0.2], [0.1, 0.2]], name: value}

    with pytest.raises(ValueError, match=f"The '{name}' parameter of MemberCurvesDisp"):
        MemberCurvesDisplay(**arrays).plot()
    assert not plt.get_fignums()


@pytest.mark.parametrize(("name", "value"), [("ax", "left"), ("y_scale", "sqrt")])
def test_wrong_parameters_of_plot_are_named(name, value):
    display = MemberCurvesDisplay(member_curves=[[0.1]])

    message = f"The '{name}' parameter of MemberCurvesDisplay.plot must be"
    with pytest.raises(ValueError, match=message):
        display.plot(**{name: value})
