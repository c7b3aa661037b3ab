"""`pairwise_disagreement` and its map, against loops over pairs of members."""

import sys
from functools import cache

import matplotlib as mpl
import numpy as np
import pytest
from kinds import KINDS, rows

from sklearn_jointens import inspection
from sklearn_jointens.inspection import (
    DiversityMapDisplay,
    pairwise_disagreement,
    uncertainty,
)

mpl.use("Agg")

import matplotlib.pyplot as plt

X = rows()
OF = {kind.name: kind for kind in KINDS}
CLASSES = [kind.name for kind in KINDS if kind.is_of_classes]
NUMBERS = [kind.name for kind in KINDS if not kind.is_of_classes]
SAYS = np.array([["ant", "bee", "bee", "cat"], ["ant", "ant", "bee", "ant"]])


@cache
def fitted(name, n_estimators=4):
    kind = OF[name]
    return kind.ensemble(n_estimators=n_estimators, lam=0).fit(X, kind.y)


def said_by_members(name):
    return np.stack([net.predict(X) for net in fitted(name).estimators_])


@pytest.mark.parametrize("name", CLASSES)
def test_members_disagree_where_their_predictions_differ(name):
    said = said_by_members(name)

    actual = pairwise_disagreement(fitted(name), X)

    expected = [[np.mean(a != b) for b in said] for a in said]
    np.testing.assert_allclose(actual, expected)
    assert actual.max() > 0


@pytest.mark.quick(5)
@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_differ_by_the_root_of_their_mean_squared_difference(name):
    said = fitted(name).member_predict(X).astype(np.float64)

    actual = pairwise_disagreement(fitted(name), X)

    expected = [[np.sqrt(np.mean((a - b) ** 2)) for b in said] for a in said]
    np.testing.assert_allclose(actual, expected, rtol=1e-5)


@pytest.mark.parametrize("name", CLASSES)
def test_mean_over_pairs_is_the_mean_disagreement_of_rows(name):
    matrix = pairwise_disagreement(fitted(name), X)

    of_pairs = matrix[~np.eye(4, dtype=bool)].mean()

    of_rows = uncertainty(fitted(name), X).disagreement
    np.testing.assert_allclose(of_pairs, of_rows.mean())


def test_one_member_agrees_with_itself():
    actual = pairwise_disagreement(fitted("classes", n_estimators=1), X)

    np.testing.assert_array_equal(actual, [[0]])


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_the_map_of_an_ensemble_shows_its_matrix(name):
    display = DiversityMapDisplay.from_estimator(fitted(name), X)

    expected = pairwise_disagreement(fitted(name), X)
    np.testing.assert_array_equal(display.disagreement, expected)
    np.testing.assert_array_equal(display.im_.get_array(), expected)
    assert display.im_.axes is display.ax_
    assert display.ax_.figure is display.figure_
    unit = {"classes": "Share of rows", "numbers": "Root mean squared"}[name]
    assert display.colorbar_.ax.get_ylabel().startswith(unit)


@pytest.mark.parametrize("name", ["classes", "labels", "several numbers"])
def test_predictions_give_the_map_of_their_ensemble(name):
    kind = "classes" if name in CLASSES else "numbers"
    said = (
        fitted(name).member_predict(X) if kind == "numbers" else said_by_members(name)
    )

    display = DiversityMapDisplay.from_predictions(said, kind=kind)

    expected = pairwise_disagreement(fitted(name), X)
    np.testing.assert_allclose(display.disagreement, expected, rtol=1e-5)


def test_classes_may_be_of_any_type():
    display = DiversityMapDisplay.from_predictions(SAYS)

    np.testing.assert_array_equal(display.disagreement, [[0, 0.5], [0.5, 0]])


def test_a_map_is_drawn_where_it_is_told():
    _, ax = plt.subplots()

    display = DiversityMapDisplay.from_predictions(
        SAYS, ax=ax, colorbar=False, im_kw={"vmax": 1, "cmap": "magma"}
    )

    assert display.ax_ is ax
    assert display.colorbar_ is None
    assert display.im_.get_clim() == (0, 1)
    assert display.im_.get_cmap().name == "magma"
    assert len(ax.figure.axes) == 1


def test_wrong_input_is_told():
    with pytest.raises(TypeError, match="parameter of pairwise_disagreement must"):
        pairwise_disagreement(None, X)
    with pytest.raises(TypeError, match=r"of DiversityMapDisplay\.from_estimator must"):
        DiversityMapDisplay.from_estimator(None, X)
    with pytest.raises(ValueError, match=r"must have the shape .* Got \(4,\) instead"):
        DiversityMapDisplay.from_predictions(SAYS[0])
    with pytest.raises(
        ValueError, match=r"'predictions' .* finite numbers .*'numbers'"
    ):
        DiversityMapDisplay.from_predictions([[1, np.nan], [2, 1.0]], kind="numbers")
    with pytest.raises(ValueError, match="The 'kind' parameter of"):
        DiversityMapDisplay.from_predictions(SAYS, kind="words")
    with pytest.raises(ValueError, match=r"'ax' parameter of DiversityMapDisplay\.p"):
        DiversityMapDisplay.from_predictions(SAYS, ax="left")


def test_matplotlib_is_needed_for_plotting_only(monkeypatch):
    display = DiversityMapDisplay(disagreement=[[0]])
    monkeypatch.setitem(sys.modules, f"{inspection.__name__}._panels", None)
    monkeypatch.delattr(inspection, "_panels", raising=False)

    for name, arguments in {
        "plot": (),
        "from_estimator": (None, None),
        "from_predictions": (None,),
    }.items():
        with pytest.raises(ImportError, match=f"DiversityMapDisplay.{name} requires"):
            getattr(display, name)(*arguments)
