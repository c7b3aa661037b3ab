"""The examples run, and write what they have measured."""

import importlib
from pathlib import Path

import pandas as pd
import pytest
from scipy.stats import sem

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def choose_lam(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("choose_lam")


@pytest.fixture
def written(choose_lam, tmp_path, monkeypatch):
    """The folder that the command has written to."""
    monkeypatch.setattr(
        "sys.argv", ["choose_lam.py", "--quick", "--out", str(tmp_path)]
    )
    choose_lam.main()
    return tmp_path


def test_choose_lam_writes_the_lams_that_its_scores_say(written):
    scores = pd.read_csv(written / "choose_lam_scores.csv")
    table = pd.read_csv(written / "choose_lam_log_loss.csv")

    assert len(table) == 4
    by_size = scores.groupby(["members", "hidden"], sort=False)
    for (_, size), (_, row) in zip(by_size, table.iterrows(), strict=True):
        splits = size.pivot(index="split", columns="lam", values="neg_log_loss")
        means = splits.mean()
        best = means.idxmax()
        as_good = means.index[means >= means[best] - sem(splits[best])]
        assert row["best lam"] == best
        assert row["chosen lam"] == as_good.min()
        assert row["log-loss at best lam"].split()[0] == f"{-means[best]:.3f}"


def test_choose_lam_draws_all_pictures_and_says_how_it_was_run(written):
    pictures = {path.name for path in written.glob("*.png")}
    first = (written / "choose_lam.md").read_text().splitlines()[0]

    assert pictures == {
        "choose_lam.png",
        "choose_lam_digits.png",
        "choose_lam_display.png",
    }
    assert first.startswith("`python examples/choose_lam.py --quick --out ")
    assert str(written) not in first


def test_choose_lam_compares_ensembles_of_about_as_many_parameters(choose_lam):
    data = choose_lam.load_data("digits")

    sizes = list(choose_lam.sizes(data, 256))

    one_layer = [(64, (4,)), (16, (16,)), (4, (64,))]
    assert sizes[:3] == one_layer
    assert len(sizes[3][1]) == 3
    totals = [m * choose_lam.n_parameters(data, hidden) for m, hidden in sizes]
    assert max(totals) < 1.1 * min(totals)


def test_half_of_an_ensemble_is_scored_without_the_other_members(choose_lam, digits):
    X, y = digits
    ensemble = choose_lam.JointEnsembleClassifierCV(
        choose_lam.mlp_classifier((4,), max_epochs=3),
        n_estimators=5,
        lams=[0.9],
        cv=2,
        random_state=0,
    ).fit(X, y)
    half = ensemble.drop_members([3, 4])
    member = ensemble.estimators_[0]

    scored = choose_lam.accuracy_of_half(ensemble, X, y)

    assert scored == half.score(X, y) != ensemble.score(X, y)
    assert choose_lam.accuracy_of_half(member, X, y) == member.score(X, y)
