"""What a report says: the truth, in words that its reader knows."""

import warnings

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from kinds import KINDS, rows
from pages import near, read
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens import tabular_regressor
from sklearn_jointens.inspection import calibration, report
from sklearn_jointens.inspection._report._html import without_rounding

mpl.use("Agg")

BY_NAME = {kind.name: kind for kind in KINDS}
CLASSES, LABELS, NUMBERS = (BY_NAME[name] for name in ("classes", "labels", "numbers"))


pytestmark = pytest.mark.usefixtures("_no_pictures")


@pytest.fixture
def drawn(monkeypatch):
    """Axes of the pictures, which are drawn and not written."""
    seen = []

    def draw_only(draw):
        figure = mpl.figure.Figure(layout="constrained")
        draw(figure.subplots())
        figure.draw_without_rendering()
        seen.extend(figure.axes)
        return b"<svg/>"

    monkeypatch.setattr("sklearn_jointens.inspection._panels.svg_of", draw_only)
    return seen


def axes_with(drawn, x_label):
    (found,) = [ax for ax in drawn if ax.get_xlabel() == x_label]
    return found


@pytest.fixture(scope="module")
def fitted():
    return CLASSES.ensemble().fit(rows(), CLASSES.y)


# -- what it is given ----------------------------------------------------------------


@pytest.mark.usefixtures("drawn")
def test_frames_are_read_under_the_names_of_their_columns():
    X = pd.DataFrame(rows(), columns=list("abcd"))
    ensemble = CLASSES.ensemble(n_estimators=2).fit(X, CLASSES.y)

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report(ensemble, X, CLASSES.y, X_train=X, y_train=CLASSES.y)


def test_members_without_a_score_are_left_out(fitted, drawn):
    X, y = rows(), CLASSES.y
    scores = fitted.score_members(X, y)
    weakest = scores.min()

    def above_the_weakest(estimator, X, y):
        score = accuracy_score(y, estimator.predict(X))
        return score if score > weakest else np.nan

    page = read(fitted.report(X, y, scoring=above_the_weakest))

    known = scores[scores > weakest]
    assert near(page.row("Mean member")[0], known.mean())
    histogram = axes_with(drawn, "Above the weakest")
    assert sum(bar.get_height() for bar in histogram.patches) == len(known)


def test_independent_members_need_the_rows_of_training(fitted):
    with pytest.raises(
        ValueError, match=r"'independent' parameter of report .*X_train"
    ):
        fitted.report(rows(), CLASSES.y, independent=fitted)


@pytest.mark.parametrize("where", ["", "nowhere/page.html"])
def test_a_file_that_cannot_be_is_refused_before_any_work(fitted, tmp_path, where):
    message = "The 'path' parameter of report must be a file"
    with pytest.raises(ValueError, match=message):
        fitted.report([["no numbers"]], [0], path=tmp_path / where)


def test_the_loss_that_is_allowed_can_be_chosen_and_is_said(fitted):
    page = read(fitted.report(rows(), CLASSES.y, max_loss=1.0))

    assert page.row("Members")[:2] == ["3", "1"]
    assert "loses no more than 1 of accuracy" in page.text
    with pytest.raises(ValueError, match="'max_loss' parameter of report"):
        fitted.report(rows(), CLASSES.y, max_loss=-1)


def test_what_stood_around_the_ensemble_is_told():
    X, y = rows(), CLASSES.y
    pipeline = make_pipeline(StandardScaler(), CLASSES.ensemble(n_estimators=2))
    grid = GridSearchCV(pipeline, {"jointensembleclassifier__lam": [0.5]}, cv=2)

    page = read(report(grid.fit(X, y), X, y))

    assert "JointEnsembleClassifier in Pipeline in GridSearchCV" in page.cells


# -- dominance -----------------------------------------------------------------------


def with_gains(*gains):
    ensemble = NUMBERS.ensemble().fit(rows(), NUMBERS.y)
    for row, own in zip(ensemble.history_, gains, strict=True):
        row["train_member_gains"] = own
    return ensemble


def test_who_does_the_work_of_an_ensemble_that_knows_nothing_is_not_told(drawn):
    ensemble = with_gains(*[[0.2, 0.0, 0.0]] * 3)

    page = read(ensemble.report(rows(), NUMBERS.y))

    assert page.fact("Effective members") == "\N{EM DASH}"
    assert "knows too little of the targets to say" in page.text
    assert not [ax for ax in drawn if ax.get_ylabel() == "Effective members"]


def test_dominance_is_drawn_where_something_is_known(drawn):
    ensemble = with_gains([0.2, 0, 0], [0.3, 0.3, 0.3], [0.3, 0.3, 0.3])
    for row in ensemble.history_:
        row["train_effective_members"] = 3.0

    page = read(ensemble.report(rows(), NUMBERS.y))

    (ax,) = [ax for ax in drawn if ax.get_ylabel() == "Effective members"]
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), [np.nan, 3, 3])
    assert page.fact("Effective members") == "3"


def test_members_that_are_left_out_of_a_list_are_counted():
    ensemble = NUMBERS.ensemble(n_estimators=6).fit(rows(), NUMBERS.y)
    for row in ensemble.history_:
        row["train_member_gains"] = [0.3] * 6

    page = read(ensemble.report(rows(), NUMBERS.y))

    assert "The 5 of 6 members who knew most" in page.text


# -- collusion -----------------------------------------------------------------------


def test_independent_members_are_not_set_beside_themselves():
    X, y = rows(), NUMBERS.y
    ensemble = NUMBERS.ensemble(n_estimators=2, lam=0).fit(X, y)

    page = read(ensemble.report(X, y, X_train=X, y_train=y))

    assert "Independent" not in page.cells
    assert page.cells.count("Loss added, 1 dropped") == 1


def test_rounding_is_no_diversity():
    assert without_rounding(2.84e-14, between=150.0) == 0
    assert without_rounding(-2.84e-14, between=150.0) == 0
    assert without_rounding(1e-6, between=150.0) == 1e-6
    assert without_rounding(1e-20, between=1e-19) == 1e-20


# -- words ---------------------------------------------------------------------------


def test_calibration_of_labels_is_that_of_labels():
    ensemble = LABELS.ensemble().fit(rows(), LABELS.y)

    page = read(ensemble.report(rows(), LABELS.y))

    assert "80 % sure of" not in page.text
    assert "share of rows that have the label" in page.text.lower()
    assert "all labels right" in page.text
    found = calibration(ensemble, rows(), LABELS.y)
    at = np.flatnonzero(found.n_rows)[-1]
    name = f"{at / 15:.2f} to {(at + 1) / 15:.2f}"
    assert near(page.row(name)[2], found.accuracy[at])


def test_probabilities_are_drawn_as_dots_alone_which_nothing_cuts(fitted, drawn):
    read(fitted.report(rows(), CLASSES.y))

    ax = axes_with(drawn, "Confidence")
    assert len(ax.lines) == 1  # the diagonal
    assert not ax.collections[0].get_clip_on()


def test_entropy_of_what_is_predicted_is_drawn_first(fitted, drawn):
    read(fitted.report(rows(), CLASSES.y))

    ax = axes_with(drawn, "Share of rows, the most certain first")
    names = [line.get_label().partition(" (")[0] for line in ax.lines]
    assert names == [
        "Ensemble entropy",
        "Total entropy",
        "Mutual information",
        "Random order",
    ]
    assert len({line.get_linestyle() for line in ax.lines}) == 4


def test_units_of_numbers_are_told():
    ensemble = NUMBERS.ensemble(tabular_regressor(max_epochs=2), n_estimators=2)
    ensemble.fit(rows(), 100 * NUMBERS.y)

    page = read(ensemble.report(rows(), 100 * NUMBERS.y))

    assert "units that members learn y in" in page.text
    assert "y's own units, squared" in page.text


@pytest.mark.quick(1)
@pytest.mark.parametrize("is_better", [False, True])
def test_whether_the_ensemble_beats_its_best_member_is_told(fitted, is_better):
    X, y = rows(), CLASSES.y
    score, best = fitted.score(X, y), fitted.score_members(X, y).max()

    def flattering(estimator, X, y):
        is_ensemble = accuracy_score(y, estimator.predict(X)) == score
        return float(is_ensemble == is_better)

    page = read(fitted.report(X, y, scoring=flattering))

    assert score != best
    assert ("The ensemble beats its best member" in page.text) == is_better
    assert ("does not beat its best member" in page.text) != is_better


def test_counts_are_counts_and_may_have_a_negative_loss():
    counts = BY_NAME["counts"]
    y = 20 + counts.y
    member = counts.member(max_epochs=30, lr=0.001)
    ensemble = counts.ensemble(member).fit(rows(), y)

    page = read(ensemble.report(rows(), y))

    assert page.fact("Targets") == "counts"
    assert page.fact("Loss").startswith("\N{MINUS SIGN}")
    assert "A loss below 0" in page.text


def test_learning_names_its_rows():
    ensemble = NUMBERS.ensemble(tabular_regressor(max_epochs=2), n_estimators=2)

    page = read(ensemble.fit(rows(), NUMBERS.y).report(rows(), NUMBERS.y))

    assert "on the validation rows of each" in page.text
    assert "on training rows: no validation row is held out by all" in page.text


def test_large_numbers_have_one_style(drawn):
    X, y = np.tile(rows(), (20, 1)), np.tile(CLASSES.y, 20)
    ensemble = CLASSES.ensemble(n_estimators=2).fit(X, y)

    page = read(ensemble.report(X, y))

    assert page.fact("Judged on") == "1\N{NARROW NO-BREAK SPACE}200 rows"
