"""The rates of the warning of a dominant member are counted as the page says."""

import importlib
from pathlib import Path

import pandas as pd
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def dominance_rates(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("dominance_rates")


def a_fit(dominated, epoch, epochs=20, began=5, **others):
    return {
        "group": "deep",
        "diverged": False,
        "dominated": dominated,
        "warned": epoch is not None,
        "epoch": epoch,
        "epochs": epochs,
        "began": began,
        "effective": 2.0,
        "members": 4,
        **others,
    }


def test_fits_are_counted_by_how_they_have_ended_and_when_they_warned(dominance_rates):
    fits = [
        a_fit(True, 6),  # in time, and early
        a_fit(True, 10),
        a_fit(True, 18),  # not before the last three epochs
        a_fit(True, None),
        a_fit(True, 17, began=16),  # five epochs are too few to tell
        a_fit(False, 19),
        *3 * [a_fit(False, None)],
        {"group": "deep", "diverged": True},
    ]

    table = dominance_rates.summary(pd.DataFrame(fits))

    *_, row = ([cell.strip() for cell in line.split("|")] for line in table.split("\n"))
    _, name, *counts, in_time, early, fine, warned, effective, _ = row
    assert (name, counts, fine) == ("deep", ["10", "1", "1", "4"], "4")
    assert in_time.startswith("2 (50.0%; ")
    assert early.startswith("1 (25.0%; ")
    assert warned.startswith("1 (25.0%; ")
    assert effective == "50% (50% to 50%)"


def test_halves_share_no_data(dominance_rates):
    design, report = (
        {
            *dominance_rates.SMALL_SETS[half],
            *dominance_rates.Sources(None, None, half).names(),
        }
        for half in ("design", "report")
    )

    assert min(len(design), len(report)) > 15
    assert not design & report


def test_a_finished_fit_is_not_done_again(dominance_rates, tmp_path, monkeypatch):
    asked = []

    def fit(case, sources):
        asked.append(case)
        return {**case, **a_fit(False, None, group=case["group"])}

    monkeypatch.setattr(dominance_rates, "fit", fit)
    monkeypatch.setattr("sys.argv", ["rates", "--quick", "--out", str(tmp_path)])

    dominance_rates.main()
    dominance_rates.main()

    assert len(asked) == 2
    assert (tmp_path / "dominance_rates.md").read_text().startswith("`python examples/")
