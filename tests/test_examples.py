"""The examples run, and write what they have measured."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import sem
from sklearn.datasets import load_diabetes
from sklearn.dummy import DummyRegressor
from sklearn.metrics import root_mean_squared_error
from sklearn.model_selection import train_test_split

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


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.fixture
def regression_cases(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("regression_cases")


@pytest.mark.slow
def test_regression_cases_fit_each_case_once_and_compare_on_the_same_seeds(
    regression_cases, tmp_path, monkeypatch
):
    cases = regression_cases.CASES
    errors = {
        (case, lam, seed): lam + seed
        for case in cases
        for lam in (0.0, 1.0)
        for seed in (0, 1)
    }
    asked = []

    def measure(case, lam, seed, epochs):
        name = next(name for name in cases if cases[name] is case)
        asked.append((name, lam, seed))
        return errors[name, lam, seed]

    monkeypatch.setattr(regression_cases, "measure", measure)
    arguments = ["--lams", "0", "1", "--seeds", "2", "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["regression_cases.py", *arguments])

    regression_cases.main()
    regression_cases.main()

    assert sorted(asked) == sorted(errors)
    text = (tmp_path / "regression_cases.md").read_text()
    # Standard errors: of 0 and 1, and of a difference that is the same on both seeds.
    assert text.count("| 0.500 ± 0.500 |") == len(cases)
    assert text.count("| 1.500 ± 0.500 | 1.000 ± 0.000 ") == len(cases)
    assert (tmp_path / "regression_cases.png").exists()


@pytest.mark.slow
def test_the_case_of_small_members_is_one_where_joint_training_helps(regression_cases):
    few = regression_cases.CASES["many small members"]._replace(n_members=8)

    independent, joint = (regression_cases.measure(few, lam, 0, 12) for lam in (0, 1))

    assert joint < 0.95 * independent


@pytest.fixture
def compare_ensembles(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("compare_ensembles")


@pytest.mark.quick(1)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_ensembles_are_compared_on_data_of_their_task(
    compare_ensembles, task, tmp_path, monkeypatch
):
    arguments = ["--task", task, "--config", "2x2", "--epochs", "2", "--lams", "0", "1"]
    arguments += ["--n-jobs", "1", "--validation", "2", "--train-size", "120"]
    arguments += ["--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["compare_ensembles.py", *arguments])

    compare_ensembles.main()

    name = "diabetes" if task == "regression" else "digits"
    rows = pd.read_csv(tmp_path / f"compare_{name}.csv")
    methods = compare_ensembles.METHODS_OF[task]
    assert rows["method"].unique().tolist() == list(methods)
    assert rows.loc[rows["method"] == "curve", "lam"].tolist() == [0, 1]
    assert rows["rmse" if task == "regression" else "log_loss"].notna().all()
    text = (tmp_path / f"compare_{name}.md").read_text()
    assert all(f"| {said} " in text for said in methods.values())


def test_numbers_are_standardised_and_their_errors_are_not(compare_ensembles):
    options = compare_ensembles.parse_options(["--task", "regression"])
    data = compare_ensembles.load(options)
    X, y = load_diabetes(return_X_y=True)
    _, _, y_train, y_test = train_test_split(X, y, test_size=1 / 3, random_state=0)

    run = compare_ensembles.Run("mean", DummyRegressor())
    found = compare_ensembles.measure(run, data)

    assert data.y_train.dtype == np.float32
    assert (data.y_train.mean(), data.y_train.std()) == pytest.approx((0, 1), abs=1e-5)
    expected = root_mean_squared_error(y_test, np.full(len(y_test), y_train.mean()))
    assert found["rmse"] == pytest.approx(expected)
