"""`report`: one page that holds what the functions say, and loads nothing."""

import base64
import pickle
import subprocess
import sys
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import pytest
from kinds import KINDS, each_kind, rows
from matplotlib import rcParams
from pages import Page, near, read
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.inspection import (
    Report,
    calibration,
    collusion_report,
    diversity_decomposition,
    member_contributions,
    prune_members,
    report,
    robustness_curve,
    uncertainty,
)

mpl.use("Agg")

import matplotlib.pyplot as plt

CLASSES, LABELS, NUMBERS = KINDS[0], KINDS[3], KINDS[4]

ALWAYS = ["about", "scores", "learning", "uncertainty"]
OF_SEVERAL = ["members", "dominance", "robustness", "diversity", "pruning"]


@pytest.fixture(scope="module")
def fitted():
    return CLASSES.ensemble().fit(rows(), CLASSES.y)


@pytest.fixture(scope="module")
def made(fitted):
    return fitted.report(rows(), CLASSES.y)


# -- the page ------------------------------------------------------------------------


def test_page_loads_nothing(made):
    page = read(made)

    for tag in ("script", "link", "iframe", "object", "base", "form", "video"):
        assert page.tags[tag] == 0
    for _, name, value in page.attributes:
        if name in ("src", "srcset", "href", "action", "data", "poster"):
            assert value.startswith(("data:image/svg+xml;base64,", "#"))
        assert not name.startswith("on")
    assert "url(" not in made.html
    assert "@import" not in made.html


def test_pictures_load_nothing_and_are_whole(made):
    page = read(made)

    assert len(page.images) >= 8
    for source in page.images:
        tree = ET.fromstring(base64.b64decode(source.partition(",")[2]))
        for element in tree.iter():
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith(("#", "data:image/png;base64,"))


def test_page_is_a_document_with_one_title_and_headings_in_order(made):
    page = read(made)

    assert made.html.startswith("<!DOCTYPE html>")
    assert page.tags["html"] == page.tags["main"] == page.tags["title"] == 1
    assert page.headings == ["h1"] + ["h2"] * len(page.sections)
    assert ("html", "lang", "en") in page.attributes
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    links = [
        value[1:]
        for tag, name, value in page.attributes
        if (tag, name) == ("a", "href")
    ]
    assert links == page.sections


def test_every_picture_is_told_in_words(made):
    page = read(made)

    assert len(set(page.alternatives)) == len(page.alternatives) == page.tags["figure"]
    assert all(len(text) > 30 for text in page.alternatives)
    assert page.tags["figcaption"] == page.tags["figure"]


@pytest.mark.quick(1)
@each_kind
def test_every_kind_of_targets_has_its_sections(kind):
    fitted = kind.ensemble().fit(rows(), kind.y)

    page = read(fitted.report(rows(), kind.y))

    expected = ALWAYS + OF_SEVERAL + ["calibration"] * kind.is_of_classes
    assert sorted(page.sections) == sorted(expected)


@pytest.mark.quick(1)
@pytest.mark.parametrize("kind", [CLASSES, LABELS, NUMBERS], ids=lambda kind: kind.name)
def test_one_member_has_nobody_to_be_compared_with(kind):
    fitted = kind.ensemble(n_estimators=1).fit(rows(), kind.y)

    page = read(fitted.report(rows(), kind.y))

    assert sorted(page.sections) == sorted(
        ALWAYS + ["calibration"] * kind.is_of_classes
    )
    assert f"Net in {kind.skorch_class.__name__}" in page.cells
    # Its loss is that of the ensemble, but for rounding.
    assert " less diversity 0." in page.text


@pytest.mark.usefixtures("_no_pictures")
def test_names_of_classes_are_escaped():
    names = np.array(['<script>alert("1")</script>', "a & b", "'</td>'"])
    y = names[np.searchsorted(np.unique(CLASSES.y), CLASSES.y)]
    fitted = CLASSES.ensemble().fit(rows(), y)

    page = read(fitted.report(rows(), y, title="<b>Mine & yours</b>"))

    assert page.tags["script"] == page.tags["b"] == 0
    for name in names:
        assert name in page.cells
    assert "<b>Mine & yours</b>" in page.text


# -- its numbers ---------------------------------------------------------------------


@pytest.mark.core
def test_numbers_are_those_of_the_functions(fitted, made):
    page, X, y = read(made), rows(), CLASSES.y

    losses = diversity_decomposition(fitted, X, y)
    members = fitted.score_members(X, y)
    score, loss, *_ = page.row("Ensemble")
    assert near(score, fitted.score(X, y))
    assert near(loss, losses.ensemble_loss)
    score, loss, *_ = page.row("Mean member")[:2]
    assert near(score, members.mean())
    assert near(loss, losses.member_loss)
    by_class = diversity_decomposition(fitted, X, y, by="class")
    for j, name in enumerate(fitted.classes_):
        shown = page.row(name)
        parts = (by_class.ensemble_loss, by_class.member_loss, by_class.diversity)
        assert all(
            near(*each) for each in zip(shown, (p[j] for p in parts), strict=True)
        )
    error = calibration(fitted, X, y).expected_calibration_error
    assert f"Expected calibration error: {error:.4g}" in page.text


def test_members_are_listed_with_what_they_give(fitted, made):
    page = read(made)

    found = member_contributions(fitted, rows(), CLASSES.y)
    at = page.cells.index("Gives")
    listed = np.array(page.cells[at + 1 : at + 10]).reshape(3, 3)
    order = np.argsort(-found.member_scores, kind="stable")
    np.testing.assert_array_equal(listed[:, 0].astype(int), order)
    for own, gives, j in zip(listed[:, 1], listed[:, 2], order, strict=True):
        assert near(own, found.member_scores[j])
        assert near(gives, found.contributions[j])


@pytest.mark.usefixtures("_no_pictures")
def test_of_many_members_the_best_and_the_weakest_are_listed():
    fitted = NUMBERS.ensemble(n_estimators=13).fit(rows(), NUMBERS.y)

    page = read(fitted.report(rows(), NUMBERS.y))

    order = np.argsort(-fitted.score_members(rows(), NUMBERS.y), kind="stable")
    for caption, expected in (("The best", order[:5]), ("The weakest", order[-5:])):
        assert f"{caption} members" in page.text
        at = page.cells.index("Gives")
        listed = page.cells[at + 1 : at + 16 : 3]
        assert [int(j) for j in listed] == expected.tolist()
        page.cells = page.cells[at + 1 :]


def test_robustness_and_pruning_are_told(fitted, made):
    page = read(made)

    curve = robustness_curve(fitted, rows(), CLASSES.y, random_state=0)
    assert near(page.row("2 of 3")[0], curve.scores[2].mean())
    found = prune_members(fitted, rows(), CLASSES.y)
    assert page.row("Members")[:2] == ["3", str(len(found.members))]
    assert near(page.row("Parameters")[0], found.n_parameters)


@pytest.mark.usefixtures("_no_pictures")
def test_dominance_is_that_of_the_epoch_whose_weights_are_left():
    fitted = NUMBERS.ensemble().fit(rows(), NUMBERS.y)
    fitted.history_[1]["restored"] = True
    fitted.history_[1]["train_effective_members"] = 1.75
    fitted.history_[1]["train_member_gains"] = [0.3, -0.2, 0.9]

    page = read(fitted.report(rows(), NUMBERS.y))

    assert "1.75" in page.cells
    at = page.cells.index("Share of what all know")
    assert page.cells[at + 1 : at + 7] == ["2", "0.75", "0", "0.25", "1", "0"]


@pytest.mark.usefixtures("_no_pictures")
def test_a_history_without_members_leaves_learning_out():
    fitted = NUMBERS.ensemble(NUMBERS.member(max_epochs=0)).fit(rows(), NUMBERS.y)

    sections = read(fitted.report(rows(), NUMBERS.y)).sections

    assert not {"learning", "dominance"}.intersection(sections)


@pytest.mark.usefixtures("_no_pictures")
def test_uncertainty_of_wrong_rows_stands_beside_that_of_right_ones():
    fitted = LABELS.ensemble(lam=0.0).fit(rows(), LABELS.y)

    page = read(fitted.report(rows(), LABELS.y))

    entropy = uncertainty(fitted, rows()).total_entropy.mean(axis=1)
    wrong = (fitted.predict(rows()) != LABELS.y).any(axis=1)
    shown = page.row("Total entropy")
    for cell, values in zip(
        shown, (entropy, entropy[~wrong], entropy[wrong]), strict=True
    ):
        assert near(cell, values.mean())
    assert "rewarded" not in page.text


def test_spread_that_was_rewarded_is_told(made):
    assert "lam = 0.5 has rewarded the members" in read(made).text


@pytest.mark.usefixtures("_no_pictures")
def test_signs_of_collusion_need_the_rows_of_training(fitted, made):
    X, y = rows(), CLASSES.y
    independent = CLASSES.ensemble(lam=0.0).fit(X, y)

    page = read(fitted.report(X, y, X_train=X, y_train=y, independent=independent))

    assert "Signs of collusion" not in read(made).text
    found = collusion_report(fitted, X, y, X, y, independent=independent)
    ours, theirs, _ = page.row("Diversity, training rows")
    assert near(ours, found.train_diversity)
    assert near(theirs, found.independent.train_diversity)


@pytest.mark.usefixtures("_no_pictures")
def test_scoring_and_weights_count(fitted):
    weight = np.repeat([1.0, 3.0], 30)

    page = read(
        fitted.report(rows(), CLASSES.y, scoring="neg_log_loss", sample_weight=weight)
    )

    loss = diversity_decomposition(fitted, rows(), CLASSES.y, sample_weight=weight)
    assert "Negative log loss" in page.text
    score, shown, _ = page.row("Ensemble")
    assert near(score, -loss.ensemble_loss)
    assert near(shown, loss.ensemble_loss)


@pytest.mark.usefixtures("_no_pictures")
def test_rows_that_are_all_right_have_none_that_are_wrong():
    X = rows()
    y = (X[:, 0] > 0).astype(int)
    fitted = CLASSES.ensemble(CLASSES.member(max_epochs=60, lr=0.5), lam=0.0).fit(X, y)
    assert fitted.score(X, y) == 1

    page = read(fitted.report(X, y))

    assert page.row("Total entropy")[2] == "\N{EM DASH}"


# -- where it comes from, and where it goes ------------------------------------------


@pytest.mark.usefixtures("_no_pictures")
def test_it_is_the_same_after_pickling_and_from_a_file(fitted, tmp_path):
    fitted.save(tmp_path / "ensemble")
    loaded = JointEnsembleClassifier.load(tmp_path / "ensemble", CLASSES.member())

    for other in (pickle.loads(pickle.dumps(fitted)), loaded):
        page = read(other.report(rows(), CLASSES.y))
        assert page.row("Ensemble") == read(fitted.report(rows(), CLASSES.y)).row(
            "Ensemble"
        )
        assert "learning" in page.sections


@pytest.mark.usefixtures("_no_pictures")
def test_some_of_the_members_have_a_report(fitted):
    page = read(fitted.drop_members([1]).report(rows(), CLASSES.y))

    assert "JointEnsembleClassifier with 2 members" in page.text


@pytest.mark.usefixtures("_no_pictures")
def test_searches_and_pipelines_have_one():
    X, y = rows(), CLASSES.y
    search = CLASSES.search().fit(X, y)
    grid = GridSearchCV(CLASSES.ensemble(), {"lam": [0.5]}, cv=2).fit(X, y)
    pipeline = make_pipeline(StandardScaler(), CLASSES.ensemble()).fit(X, y)

    assert read(search.report(X, y)).row("Ensemble") == (
        read(search.best_estimator_.report(X, y)).row("Ensemble")
    )
    assert near(read(report(grid, X, y)).row("Ensemble")[0], grid.score(X, y))
    made = report(pipeline, X, y, X_train=X, y_train=y)
    assert near(read(made).row("Ensemble")[0], pipeline.score(X, y))


def test_search_without_refit_has_none():
    search = CLASSES.search(refit=False).fit(rows(), CLASSES.y)

    assert not hasattr(search, "report")


@pytest.mark.usefixtures("_no_pictures")
def test_page_can_be_saved(fitted, made, tmp_path):
    made.save(tmp_path / "one.html")
    fitted.report(rows(), CLASSES.y, title="Grün", path=tmp_path / "two.html")

    one, two = ((tmp_path / f"{n}.html").read_text("utf-8") for n in ("one", "two"))
    assert one == made.html
    assert "<h1>Grün</h1>" in two


def test_notebooks_show_the_page_in_a_frame(made):
    page = Page(made._repr_html_())

    (frame,) = [
        v for tag, name, v in page.attributes if (tag, name) == ("iframe", "srcdoc")
    ]
    assert frame == made.html
    assert isinstance(made, Report)
    assert "KiB" in repr(made)


@pytest.mark.slow
def test_pictures_are_the_same_again_and_matplotlib_as_it_was(fitted, made):
    before = dict(rcParams)
    with plt.style.context("dark_background"):
        again = fitted.report(rows(), CLASSES.y)

    assert read(again).images == read(made).images
    assert dict(rcParams) == before
    assert not plt.get_fignums()


# -- errors --------------------------------------------------------------------------


def test_what_is_no_fitted_ensemble_is_refused():
    with pytest.raises(TypeError, match="'estimator' parameter of report"):
        report(LogisticRegression(), rows(), CLASSES.y)
    with pytest.raises(NotFittedError):
        CLASSES.ensemble().report(rows(), CLASSES.y)


@pytest.mark.parametrize("params", [{"X_train": rows()}, {"y_train": CLASSES.y}])
def test_rows_of_training_need_their_targets(fitted, params):
    with pytest.raises(ValueError, match=r"'X_train' and 'y_train' .* both be given"):
        fitted.report(rows(), CLASSES.y, **params)


@pytest.mark.parametrize(("name", "value"), [("scoring", "best"), ("title", 3)])
def test_wrong_parameters_are_named(fitted, name, value):
    with pytest.raises(ValueError, match=f"The '{name}' parameter of report must be"):
        fitted.report(rows(), CLASSES.y, **{name: value})


@pytest.mark.slow
def test_matplotlib_is_needed_and_named():
    script = """
import sys
sys.modules["matplotlib"] = None
import sklearn_jointens
from sklearn_jointens.inspection import *
for draw in (
    lambda: sklearn_jointens.JointEnsembleClassifier().report([[0]], [0]),
    MemberCurvesDisplay(member_curves=[[1]]).plot,
    LossDecompositionDisplay(x=[0], ensemble_loss=[1], member_loss=[1]).plot,
    MemberFiltersDisplay(filters=[[[[[1]]]]]).plot,
    lambda: MemberFiltersDisplay.from_estimator(None),
):
    try:
        draw()
    except ImportError as error:
        print(error)
"""
    run = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    names = [
        line.partition(" requires matplotlib")[0] for line in run.stdout.splitlines()
    ]
    assert names == [
        "report",
        "MemberCurvesDisplay.plot",
        "LossDecompositionDisplay.plot",
        "MemberFiltersDisplay.plot",
        "MemberFiltersDisplay.from_estimator",
    ]
