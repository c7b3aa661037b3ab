"""`LossDecompositionDisplay`: ensemble loss, mean member loss and diversity."""

import matplotlib as mpl
import numpy as np
import pytest
import torch
from kinds import KINDS, each_kind, rows
from sklearn.linear_model import LinearRegression
from torch import nn

from sklearn_jointens import MemberFolds
from sklearn_jointens.inspection import LossDecompositionDisplay

mpl.use("Agg")

import matplotlib.pyplot as plt

CLASSES, NUMBERS = KINDS[0], KINDS[4]


def drawn(display):
    return {
        name: display.lines_[name].get_ydata()
        for name in ("ensemble", "members", "diversity")
    }


@each_kind
def test_history_is_drawn_epoch_by_epoch(kind):
    fitted = kind.ensemble().fit(rows(), kind.y)

    curves = drawn(LossDecompositionDisplay.from_estimator(fitted))

    for name, recorded in (
        ("ensemble", "ensemble_loss"),
        ("members", "member_loss"),
        ("diversity", "diversity"),
    ):
        expected = [row[f"train_{recorded}"] for row in fitted.history_]
        np.testing.assert_allclose(curves[name], expected, rtol=1e-5, atol=1e-7)


@torch.no_grad()
def test_estimators_are_drawn_against_their_lam():
    lams = [1.0, 0.0, 0.5]
    with torch.enable_grad():
        fitted = [CLASSES.ensemble(lam=lam).fit(rows(), CLASSES.y) for lam in lams]

    display = LossDecompositionDisplay.from_estimators(fitted, rows(), CLASSES.y)

    y = torch.as_tensor(np.searchsorted(fitted[0].classes_, CLASSES.y))
    criterion = nn.CrossEntropyLoss()
    ensemble, members = [], []
    for each in (fitted[1], fitted[2], fitted[0]):
        logits = [net.module_(torch.tensor(rows())) for net in each.estimators_]
        ensemble.append(float(criterion(torch.stack(logits).mean(0), y)))
        members.append(np.mean([float(criterion(own, y)) for own in logits]))
    curves = drawn(display)
    np.testing.assert_allclose(curves["ensemble"], ensemble, rtol=1e-5)
    np.testing.assert_allclose(curves["members"], members, rtol=1e-5)
    np.testing.assert_allclose(
        curves["diversity"], np.subtract(members, ensemble), rtol=1e-3
    )
    labels = [text.get_text() for text in display.ax_.get_xticklabels()]
    assert labels == ["0", "0.5", "1"]


def test_weights_count():
    fitted = [NUMBERS.ensemble(lam=lam).fit(rows(), NUMBERS.y) for lam in (0, 1)]
    weight = np.repeat([1, 3], 30)
    repeated = np.repeat(np.arange(60), weight)

    weighted = LossDecompositionDisplay.from_estimators(
        fitted, rows(), NUMBERS.y, sample_weight=weight
    )
    longer = LossDecompositionDisplay.from_estimators(
        (each for each in fitted), rows()[repeated], NUMBERS.y[repeated]
    )

    for name, values in drawn(weighted).items():
        np.testing.assert_allclose(values, drawn(longer)[name], rtol=1e-5)


def test_folds_are_drawn_when_they_are_asked_for_and_said():
    member = CLASSES.member(train_split=MemberFolds(3))
    fitted = CLASSES.ensemble(member).fit(rows(), CLASSES.y)

    whole = LossDecompositionDisplay.from_estimator(fitted)
    folds = LossDecompositionDisplay.from_estimator(fitted, rows="valid")

    assert whole.ax_.get_ylabel() == "Training loss"
    assert whole.lines_["ensemble"].get_label() == "Ensemble"
    assert folds.ax_.get_ylabel() == "Validation loss"
    assert folds.lines_["ensemble"].get_label() == "Ensemble (out of fold)"


def test_diversity_is_what_is_between_the_curves():
    display = LossDecompositionDisplay(
        x=[0.9, 0, 1], ensemble_loss=[0.2, 0.4, 0.2], member_loss=[0.9, 0.6, 7.0]
    ).plot(x_scale="linear")

    np.testing.assert_array_equal(display.lines_["members"].get_xdata(), [0, 0.9, 1])
    np.testing.assert_allclose(drawn(display)["diversity"], [0.2, 0.7, 6.8])
    corners = display.fill_between_.get_paths()[0].vertices
    for x, low, high in ((0, 0.4, 0.6), (0.9, 0.2, 0.9), (1, 0.2, 7.0)):
        heights = corners[corners[:, 0] == x, 1]
        np.testing.assert_allclose([heights.min(), heights.max()], [low, high])


def test_logarithmic_scale_leaves_gaps_and_room_for_the_legend():
    display = LossDecompositionDisplay(
        x=[1, 2, 3],
        ensemble_loss=[2, 0.1, -0.01],
        member_loss=[2, 5, 90],
        x_name="epoch",
    ).plot(y_scale="log")

    display.figure_.canvas.draw()
    box = display.ax_.get_legend().get_window_extent()
    for name in ("ensemble", "members", "diversity"):
        points = display.lines_[name].get_xydata()
        seen = display.ax_.transData.transform(points[points[:, 1] > 0])
        assert np.isfinite(seen).all()
        assert not any(box.contains(x, y) for x, y in seen)


def test_best_epoch_is_marked():
    fitted = CLASSES.ensemble().fit(rows(), CLASSES.y)
    fitted.history_[0]["restored"] = True

    display = LossDecompositionDisplay.from_estimator(fitted)

    assert list(display.lines_["epoch"].get_xdata()) == [1, 1]


def test_curves_can_be_told_apart_without_colour():
    lines = (
        LossDecompositionDisplay(x=[0, 1], ensemble_loss=[1, 1], member_loss=[2, 3])
        .plot()
        .lines_
    )

    assert len({line.get_linestyle() for line in lines.values()}) == 3
    assert len({line.get_marker() for line in lines.values()}) == 3


def test_many_points_have_no_markers():
    losses = np.linspace(1, 2, 100)

    display = LossDecompositionDisplay(
        x=range(100), ensemble_loss=losses, member_loss=2 * losses, x_name="epoch"
    ).plot()

    assert {line.get_marker() for line in display.lines_.values()} == {"None"}


def test_styles_and_axes_are_those_given():
    _, ax = plt.subplots()

    display = LossDecompositionDisplay(
        x=[0, 1], ensemble_loss=[1, 1], member_loss=[2, 3]
    ).plot(
        ax=ax,
        line_kw={"c": "black"},
        member_line_kw={"lw": 4},
        diversity_line_kw={"ls": ":"},
        fill_between_kw={"alpha": 0.7},
    )

    assert display.ax_ is ax
    assert display.lines_["ensemble"].get_color() == "black"
    assert display.lines_["members"].get_linewidth() == 4
    assert display.lines_["diversity"].get_linestyle() == ":"
    assert display.fill_between_.get_alpha() == 0.7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("ensemble_loss", [1.0]),
        ("member_loss", [[1.0, 2.0]]),
        ("x_name", "time"),
    ],
)
def test_arrays_that_do_not_fit_are_named(name, value):
    arrays = {"x": [0, 1], "ensemble_loss": [1, 1], "member_loss": [2, 3], name: value}

    message = f"The '{name}' parameter of LossDecompositionDisplay must be"
    with pytest.raises(ValueError, match=message):
        LossDecompositionDisplay(**arrays).plot()
    assert not plt.get_fignums()


def test_what_is_no_ensemble_is_refused():
    with pytest.raises(TypeError, match=r"LossDecompositionDisplay\.from_"):
        LossDecompositionDisplay.from_estimator(LinearRegression())
    with pytest.raises(TypeError, match="'estimator' parameter"):
        LossDecompositionDisplay.from_estimators(
            [LinearRegression()], rows(), NUMBERS.y
        )


@pytest.mark.parametrize("estimators", ["one", []])
def test_estimators_are_several(estimators):
    if estimators == "one":
        estimators = NUMBERS.ensemble(n_estimators=2).fit(rows(), NUMBERS.y)

    message = (
        r"'estimators' parameter of LossDecompositionDisplay\.from_estimators must"
    )
    with pytest.raises((TypeError, ValueError), match=message):
        LossDecompositionDisplay.from_estimators(estimators, rows(), NUMBERS.y)


def test_parameters_of_plot_are_checked_when_an_estimator_is_drawn():
    ensemble = NUMBERS.ensemble(n_estimators=2).fit(rows(), NUMBERS.y)

    with pytest.raises(ValueError, match=r"'y_scale' parameter of .*\.plot must be"):
        LossDecompositionDisplay.from_estimator(ensemble, y_scale="logg")


@pytest.mark.parametrize(
    ("name", "value"), [("ax", 3), ("x_scale", "log"), ("y_scale", "even")]
)
def test_wrong_parameters_of_plot_are_named(name, value):
    display = LossDecompositionDisplay(x=[0], ensemble_loss=[1], member_loss=[2])

    message = f"The '{name}' parameter of LossDecompositionDisplay.plot must be"
    with pytest.raises(ValueError, match=message):
        display.plot(**{name: value})
