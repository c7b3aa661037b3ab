"""Tables are loaded as they are, and every fit is a row of a file."""

import gzip
import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.linear_model import LinearRegression
from sklearn.metrics import log_loss

from examples import _tables
from examples._tables import Table, halves, load_tables, split, table_names
from examples.benchmarks import _table_models as models
from examples.benchmarks import tables
from examples.benchmarks._table_metrics import (
    SMALLEST,
    calibration_error,
    errors,
    scores,
)
from examples.benchmarks._table_task import TASKS

CSV = """size,colour,empty,class
1,red,,0
2.5,NA,,1
,,,0
4,red,,1
5,blue,,0
6,red,,1
7,,,0
8,blue,,1
9,red,,0
10,blue,,1
"""
ABOUT = {"task": "classification", "target": "class", "categorical": ["colour"]}


@pytest.fixture
def folder(tmp_path):
    """Two tables of classification and one of regression, all of the same cells."""
    tasks = {"a": "classification", "b": "classification", "r": "regression"}
    for name in tasks:
        with gzip.open(tmp_path / f"{name}.csv.gz", "wt") as file:
            file.write(CSV)
    index = [ABOUT | {"name": name, "task": task} for name, task in tasks.items()]
    (tmp_path / "tables.json").write_text(json.dumps(index))
    return tmp_path


# -- tables ------------------------------------------------------------------------


def test_the_halves_are_drawn_once_and_for_all():
    design, report = halves(reversed(table_names()))

    assert design == [
        *("anneal", "balance_scale", "cmc", "dermatology", "letter", "nursery"),
        *("segment", "splice", "tic_tac_toe", "vehicle", "vowel"),
    ]
    assert len(report) == 12
    assert sorted(design + report) == table_names()
    design, report = halves(table_names(task="regression"))
    assert design == ["abalone", "autompg", "elevators", "kin8nm", "mv", "puma32h"]
    assert len(report) == 7


def test_a_table_is_loaded_as_it_is(folder):
    (table,) = load_tables(folder, ["b"])

    X = table.X
    assert (table.name, table.task) == ("b", "classification")
    assert table.categorical == ["colour"]
    assert X.columns.tolist() == ["size", "colour", "empty"]
    assert X["colour"].dtype == "category"
    assert X["colour"].cat.categories.tolist() == ["NA", "blue", "red"]
    assert X["colour"].isna().tolist() == [i in (2, 6) for i in range(10)]
    assert X[["size", "empty"]].dtypes.eq(np.float64).all()
    assert X.isna().sum().tolist() == [1, 2, 10]
    assert table.y.tolist() == ["0", "1"] * 5
    (table,) = load_tables(folder, task="regression")
    assert (table.name, table.y.dtype) == ("r", np.float64)


def test_a_table_is_loaded_when_its_turn_comes(folder):
    (folder / "b.csv.gz").unlink()

    loaded = load_tables(folder)

    assert next(loaded).name == "a"
    with pytest.raises(FileNotFoundError):
        next(loaded)


def test_a_name_that_there_is_not_is_refused(folder):
    with pytest.raises(ValueError, match=r"\['a', 'b'\]. Got 'r' instead"):
        next(load_tables(folder, ["r"]))


def test_tables_of_openml_are_the_same_kind(monkeypatch):
    data = pd.DataFrame({"n": [1, 2, 3], "c": ["x", None, "y"]})
    target = pd.Series(["0", "1", None], dtype="category")
    asked = []

    def fetch(name, **settings):
        asked.append((name, settings["version"]))
        return SimpleNamespace(data=data.astype({"c": "category"}), target=target)

    monkeypatch.setattr(_tables, "fetch_openml", fetch)

    (table,) = load_tables(names=["credit_a"])

    assert asked == [("credit-approval", 1)]
    assert table.categorical == ["c"]
    assert table.X["n"].tolist() == [1.0, 2.0]  # a row without a label is none
    assert table.X["c"].isna().tolist() == [False, True]
    assert table.y.tolist() == ["0", "1"]


@pytest.mark.parametrize(("rare", "expected"), [(2, {7, 21}), (1, None)])
def test_splits_are_stratified_where_they_can_be(rare, expected):
    y = np.array(["a"] * 10 + ["b"] * 30 + ["c"] * rare)
    table = Table("t", "classification", pd.DataFrame({"x": range(len(y))}), y, [])

    X_train, X_test, y_train, _ = split(table, 0)

    assert len(X_test) == 13
    assert sorted([*X_train["x"], *X_test["x"]]) == list(range(len(y)))
    if expected:
        assert expected <= set(np.unique(y_train, return_counts=True)[1])


# -- metrics -----------------------------------------------------------------------


def test_calibrated_probabilities_have_no_calibration_error():
    confidence = np.repeat([0.6, 0.8], 10)
    is_right = np.arange(20) % 10 < np.repeat([6, 8], 10)

    assert calibration_error(confidence, is_right) == pytest.approx(0)
    assert calibration_error(confidence + 0.1, is_right) == pytest.approx(0.1)
    assert calibration_error(np.ones(4), np.array([True] * 4)) == 0


def test_a_class_that_was_not_learned_is_as_improbable_as_can_be():
    classes = np.array(["a", "b", "c"])

    found = scores(classes, [[0.5, 0.5], [1, 0], [0.5, 0.5]], ["a", "c"], classes)

    expected = -np.mean(np.log([0.5, SMALLEST, 0.5]))
    assert found["log_loss"] == pytest.approx(expected, rel=1e-6)
    assert found["accuracy"] == pytest.approx(1 / 3)


def test_metrics_are_scikit_learns():
    y = np.array(["a", "b", "a", "b"])
    p = np.array([0.2, 0.7, 0.4, 0.3])

    found = scores(y, np.column_stack([1 - p, p]), ["a", "b"], np.array(["a", "b"]))

    assert found["log_loss"] == pytest.approx(log_loss(y, np.column_stack([1 - p, p])))
    assert found["roc_auc"] == 0.75
    assert found["accuracy"] == 0.75


def test_there_is_no_auc_where_no_row_has_a_class():
    classes = np.array(["a", "b", "c"])
    found = scores(np.array(["a", "b"]), np.eye(3)[:2], classes, classes)
    assert np.isnan(found["roc_auc"])
    assert found["accuracy"] == 1


def test_probabilities_that_are_none_are_refused():
    classes = np.array(["a", "b"])
    with pytest.raises(ValueError, match="must be finite"):
        scores(classes, [[np.nan, 1], [0, 1]], classes, classes)


def test_errors_are_in_units_of_the_target_and_a_share_of_its_variance():
    y = np.array([0.0, 4.0, 8.0])

    found = errors(y, y + [3, -3, 3])

    assert found == pytest.approx({"rmse": 3, "r2": 1 - 27 / 32})
    with pytest.raises(ValueError, match="NaN"):
        errors(y, [np.nan, 1, 2])


# -- models ------------------------------------------------------------------------


@pytest.mark.quick(1)
@pytest.mark.parametrize(
    ("task", "name"),
    [(task, name) for task in TASKS for name in (models.FAST, *TASKS[task].sklearn)],
)
def test_models_take_a_table_as_it_is(task, name, folder):
    (table,) = load_tables(folder, ["a" if task == "classification" else "r"], task)
    more = table._replace(X=pd.concat([table.X] * 20), y=np.tile(table.y, 20))

    found = tables.measure(TASKS[task].models[name], more, 0, 1)

    assert found["note"] == ""
    assert found[TASKS[task].main] < (25 if task == "classification" else 0.5)
    assert found["fit_seconds"] > 0


def test_networks_get_targets_of_any_scale_scaled():
    random = np.random.default_rng(0)
    X = pd.DataFrame({"a": random.normal(size=60)})
    y = X["a"].to_numpy() * 3
    make = TASKS["regression"].models["MLPRegressor"]

    plain, large = (make(0, 1).fit(X, of_scale) for of_scale in (y, 1e6 * y + 1e8))

    np.testing.assert_allclose(1e6 * plain.predict(X) + 1e8, large.predict(X))


def test_categories_that_are_new_and_columns_without_a_value_do_not_stop_a_model():
    X = pd.DataFrame({"c": ["x", "y"] * 10, "n": np.nan}).astype({"c": "category"})
    y = np.array(["a", "b"] * 10)
    of_x_alone = X["c"] == "x"
    y[of_x_alone] = ["a", "b"] * 5

    task = TASKS["classification"]
    for name in (task.linear, models.BOOSTING):
        model = task.models[name](0, 1).fit(X[of_x_alone], y[of_x_alone])
        assert model.predict_proba(X).shape == (20, 2)


# -- the command -------------------------------------------------------------------


@pytest.fixture
def command(folder, monkeypatch):
    """Runs the command on two quick models; which models were made."""
    made = []

    def prior(seed, n_jobs):
        made.append(("prior", seed))
        return DummyClassifier()

    def broken(seed, n_jobs):
        made.append(("broken", seed))
        return DummyClassifier(constant="of\nno use", strategy="constant")

    monkeypatch.setattr(tables.Task, "models", {"broken": broken, "prior": prior})

    def run(*arguments):
        options = ["--data", f"{folder}", "--csv", f"{folder / 'o' / 't.csv'}"]
        options += ["--out", f"{folder / 'o'}", "--models", "broken", "prior"]
        options += ["--half", "all", "--splits", "2", "--n-jobs", "1", *arguments]
        monkeypatch.setattr("sys.argv", ["tables", *options])
        made.clear()
        tables.main()
        return list(made)

    run.csv = folder / "o" / "t.csv"
    return run


def test_every_fit_is_a_row_and_a_failure_is_a_note(command):
    command()

    rows = pd.read_csv(command.csv)
    assert rows.columns.tolist() == tables.columns(TASKS["classification"])
    assert rows[["table", "split", "model"]].to_numpy().tolist() == [
        [name, number, model]
        for name in "ab"
        for number in (0, 1)
        for model in ("broken", "prior")
    ]
    assert rows["half"].tolist() == ["design"] * 4 + ["report"] * 4
    failed = rows["note"].str.startswith("ValueError: ", na=False)
    assert failed.eq(rows["model"] == "broken").all()
    assert rows.loc[failed, ["log_loss", "fit_seconds"]].isna().all(axis=None)
    assert rows.loc[~failed, "note"].isna().all()
    assert rows.loc[~failed, ["log_loss", "ece"]].notna().all(axis=None)
    text = (command.csv.parent / "tables.md").read_text()
    assert "- broken, a, split 0, 1: ValueError: " in text


@pytest.mark.slow
def test_what_is_in_the_file_is_not_run_again(command):
    command()
    lines = command.csv.read_text().splitlines()
    command.csv.write_text("\n".join(lines[:-1]) + "\n")

    again = command()

    assert again == [("prior", 0), ("prior", 1)]  # the warm-up, and the missing row
    assert len(command.csv.read_text().splitlines()) == len(lines)
    assert command() == []
    assert command("--report-only") == []


def test_a_slow_model_gets_no_more_splits_of_a_table(command):
    made = command("--tables", "a", "--time-limit", "1e-9")
    assert [model for model in made if model[1]] == [("broken", 1)]
    text = (command.csv.parent / "tables.md").read_text()
    assert "- prior, a, split 1: not run" in text


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--models", "joint"], "Got ['joint'] instead"),
        (["--task", "regression", "--models", "MLPClassifier"], "Got ['MLPClassifier'"),
        (["--task", "regression", "--tables", "car"], "Got ['car'] instead"),
        (["--tables", "nowhere"], "Got ['nowhere'] instead"),
        (["--data", "nowhere"], "Got nowhere instead"),
        (["--splits", "0"], "Got 0 instead"),
        (["--report-only", "--csv", "nowhere.csv"], "Got nowhere.csv instead"),
    ],
)
def test_a_bad_option_is_refused_before_any_work(option, said, capsys):
    with pytest.raises(SystemExit):
        tables.parse_options(option)
    assert said in capsys.readouterr().err


def test_what_is_not_installed_is_not_asked_for(monkeypatch, capsys):
    monkeypatch.setattr(tables, "find_spec", lambda _: None)
    with pytest.raises(SystemExit):
        tables.parse_options(["--models", "TabM_D"])
    assert "pip install pytabkit" in capsys.readouterr().err


def test_tables_of_numbers_have_rows_of_their_own(folder, monkeypatch):
    monkeypatch.chdir(folder)
    quick = {
        "mean": lambda seed, n_jobs: DummyRegressor(),
        "line": lambda seed, n_jobs: models.on_numbers(LinearRegression()),
    }
    monkeypatch.setattr(tables.Task, "models", quick)
    arguments = ["--task", "regression", "--data", ".", "--models", *quick]
    monkeypatch.setattr("sys.argv", ["tables", *arguments, "--splits", "1"])

    tables.main()

    rows = pd.read_csv("output/tables_regression.csv")
    assert rows.columns.tolist() == tables.columns(TASKS["regression"])
    assert rows["table"].tolist() == ["r"] * 2
    _, _, y, y_test = split(next(load_tables(folder, task="regression")), 0)
    expected = errors(y_test, np.full(len(y_test), y.mean()))
    assert rows.loc[0, ["rmse", "r2"]].to_dict() == pytest.approx(expected)
    assert Path("output/tables_regression.md").exists()
