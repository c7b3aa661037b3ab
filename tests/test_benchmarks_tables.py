"""Tables are loaded as they are, models compared fairly, and targets not flattered."""

import gzip
import json
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.metrics import log_loss

from examples import _tables
from examples._tables import Table, halves, load_tables, split, table_names
from examples.benchmarks import _table_models as models
from examples.benchmarks import tables
from examples.benchmarks._table_metrics import SMALLEST, calibration_error, scores
from examples.benchmarks._table_report import Results, markdown, mean_ranks, targets

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


# -- models ------------------------------------------------------------------------


@pytest.mark.parametrize("name", [models.FAST, *models.SKLEARN])
def test_models_take_a_table_as_it_is(name, folder):
    (table,) = load_tables(folder, ["a"])
    more = table._replace(X=pd.concat([table.X] * 20), y=np.tile(table.y, 20))

    found = tables.measure(models.MODELS[name], more, 0, 1)

    assert found["note"] == ""
    assert 0 < found["log_loss"] < 25
    assert found["fit_seconds"] > 0


def test_categories_that_are_new_and_columns_without_a_value_do_not_stop_a_model():
    X = pd.DataFrame({"c": ["x", "y"] * 10, "n": np.nan}).astype({"c": "category"})
    y = np.array(["a", "b"] * 10)
    of_x_alone = X["c"] == "x"
    y[of_x_alone] = ["a", "b"] * 5

    for name in (models.LOGISTIC, models.BOOSTING):
        model = models.MODELS[name](0, 1).fit(X[of_x_alone], y[of_x_alone])
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

    monkeypatch.setattr(tables, "MODELS", {"broken": broken, "prior": prior})

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
    assert rows.columns.tolist() == list(tables.COLUMNS)
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
        (["--models", "joint"], "invalid choice: 'joint'"),
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


# -- the report --------------------------------------------------------------------


def made_up(losses, n_splits=2, fit_seconds=None):
    """Rows by hand: a log-loss for each model and table, the same on every split."""
    common = {"half": "report", "n_rows": 100, "n_columns": 3, "n_classes": 2}
    common |= {"predict_seconds": 0.1, "note": "", "machine": "cpu: some, python: 3"}
    common |= {"version": "1", "commit": "0000123"}
    rows = []
    for model, of_tables in losses.items():
        for number, loss in enumerate(of_tables):
            for i in range(n_splits):
                seconds = (fit_seconds or {}).get(model, 1.0)
                row = {"table": f"t{number}", "split": i, "model": model}
                row |= {"log_loss": loss, "accuracy": 1 - loss, "roc_auc": 1 - loss}
                rows.append(common | row | {"ece": 0.1, "fit_seconds": seconds})
    return pd.DataFrame(rows)[list(tables.COLUMNS)]


def verdicts(results):
    return {f.question: f.verdict for f in targets(results)}


def test_targets_are_met_where_they_are_met():
    losses = {models.JOINT: [0.1] * 10, models.LOGISTIC: [0.2] * 10}
    losses |= {models.BAGGING: [0.2] * 9 + [0.05], models.TABM: [0.11] * 10}

    found = verdicts(Results(made_up(losses, fit_seconds={models.TABM: 4.0})))

    assert len(found) == 6
    assert set(found.values()) == {"met"}


def test_targets_are_missed_where_they_are_missed():
    losses = {models.JOINT: [0.1] * 10, models.LOGISTIC: [0.2] * 9 + [0.09]}
    losses |= {models.BAGGING: [0.2] * 8 + [0.05] * 2, models.FOREST: [0.04] * 10}
    losses |= {models.BOOSTING: [0.05] * 10, models.TABM: [0.09] * 10}

    found = verdicts(Results(made_up(losses, fit_seconds={models.TABM: 3.9})))

    assert len(found) == 8
    assert set(found.values()) == {"missed"}


def test_an_ensemble_without_all_tables_has_no_place():
    rows = made_up({models.JOINT: [0.1, np.nan], models.FOREST: [0.2, 0.2]})
    rows = pd.concat([rows, made_up({models.BAGGING: [0.3, 0.3]})])

    found = verdicts(Results(rows))

    places = [verdict for question, verdict in found.items() if "place" in question]
    assert places == ["missed", "missed"]


def test_models_are_compared_on_the_splits_that_both_have():
    rows = made_up({models.JOINT: [0.1, 0.1], models.FOREST: [0.2, 0.2]})
    at = (rows["model"] == models.FOREST) & (rows["split"] == 1)
    rows.loc[at & (rows["table"] == "t0"), "log_loss"] = np.nan
    rows.loc[(rows["model"] == models.JOINT) & (rows["split"] == 1), "log_loss"] = 0.3

    ratios = Results(rows).ratios(models.FOREST)

    assert ratios.to_dict() == pytest.approx({"t0": 0.5, "t1": 1.0})


def test_ranks_are_of_the_models_that_have_all_tables():
    losses = {models.JOINT: [0.1, 0.3], models.FOREST: [0.2, 0.2]}
    losses |= {models.BAGGING: [0.01, np.nan], models.LOGISTIC: [0.4, 0.4]}

    ranks = mean_ranks(Results(made_up(losses)))

    means = {models.JOINT: 1.5, models.FOREST: 1.5, models.LOGISTIC: 3}
    assert ranks["mean"].to_dict() == means
    assert ranks.loc[models.JOINT, ["low", "high"]].tolist() == [1, 2]
    assert ranks.loc[models.LOGISTIC, ["low", "high"]].tolist() == [3, 3]


def test_the_summary_says_who_is_better_by_how_much():
    losses = {models.JOINT: [0.1, 0.3, 0.2], models.FOREST: [0.2, 0.25, 0.8]}
    text = markdown(Results(made_up(losses)))

    cells = next(
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {models.FOREST} ")
    )
    assert cells[4:8] == ["0.500", "1.200", "2 of 3", "58.3 %"]
    assert cells[-1] == "3.0"
    assert "Version 1 0000123; cpu: some" in text
    assert "| **0.2500** " in text


def test_the_report_is_written_from_the_file_alone(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    losses = {name: random.uniform(0.1, 0.9, size=3) for name in models.MODELS}
    made_up(losses).to_csv(tmp_path / "t.csv", index=False)
    arguments = ["--report-only", "--csv", f"{tmp_path / 't.csv'}"]
    arguments += ["--out", f"{tmp_path / 'out'}"]
    monkeypatch.setattr("sys.argv", ["tables", *arguments])

    tables.main()

    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == ["tables.md", "tables_ranks.png", "tables_time.png"]
    text = (tmp_path / "out" / "tables.md").read_text()
    assert text.startswith("3 tables (report half), 100 to 100 rows; 2 splits of 70 %")
    assert " missed " in text
