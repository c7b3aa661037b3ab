"""Models are compared fairly, and targets not flattered."""

import numpy as np
import pandas as pd
import pytest

from examples.benchmarks import _table_models as models
from examples.benchmarks._table_report import Results, markdown, mean_ranks, targets
from examples.benchmarks._table_task import TASKS
from examples.benchmarks.tables import columns, main

LINEAR = TASKS["classification"].linear


def made_up(losses, task="classification", n_splits=2, fit_seconds=None):
    """Rows by hand: a loss for each model and table, the same on every split."""
    common = {"half": "report", "n_rows": 100, "n_columns": 3, "n_classes": 2}
    common |= {"predict_seconds": 0.1, "note": "", "machine": "cpu: some, python: 3"}
    common |= {"version": "1", "commit": "0000123", "ece": 0.1}
    rows = []
    for model, of_tables in losses.items():
        for number, loss in enumerate(of_tables):
            of_model = dict.fromkeys(("log_loss", "rmse"), loss)
            of_model |= dict.fromkeys(("accuracy", "roc_auc", "r2"), 1 - loss)
            of_model["fit_seconds"] = (fit_seconds or {}).get(model, 1.0)
            for i in range(n_splits):
                row = {"table": f"t{number}", "split": i, "model": model}
                rows.append(common | row | of_model)
    return pd.DataFrame(rows)[columns(TASKS[task])]


def results_of(losses, task="classification", **settings):
    return Results(made_up(losses, task, **settings), TASKS[task])


def verdicts(results):
    return {f.question: f.verdict for f in targets(results)}


def test_targets_are_met_where_they_are_met():
    losses = {models.JOINT: [0.1] * 10, LINEAR: [0.2] * 10}
    losses |= {models.BAGGING: [0.2] * 9 + [0.05], models.TABM: [0.11] * 10}

    found = verdicts(results_of(losses, fit_seconds={models.TABM: 4.0}))

    assert len(found) == 6
    assert set(found.values()) == {"met"}


def test_targets_are_missed_where_they_are_missed():
    losses = {models.JOINT: [0.1] * 10, LINEAR: [0.2] * 9 + [0.09]}
    losses |= {models.BAGGING: [0.2] * 8 + [0.05] * 2, models.FOREST: [0.04] * 10}
    losses |= {models.BOOSTING: [0.05] * 10, models.TABM: [0.09] * 10}

    found = verdicts(results_of(losses, fit_seconds={models.TABM: 3.9}))

    assert len(found) == 8
    assert set(found.values()) == {"missed"}


def test_an_ensemble_without_all_tables_has_no_place():
    rows = made_up({models.JOINT: [0.1, np.nan], models.FOREST: [0.2, 0.2]})
    rows = pd.concat([rows, made_up({models.BAGGING: [0.3, 0.3]})])

    found = verdicts(Results(rows, TASKS["classification"]))

    places = [verdict for question, verdict in found.items() if "place" in question]
    assert places == ["missed", "missed"]


def test_models_are_compared_on_the_splits_that_both_have():
    rows = made_up({models.JOINT: [0.1, 0.1], models.FOREST: [0.2, 0.2]})
    at = (rows["model"] == models.FOREST) & (rows["split"] == 1)
    rows.loc[at & (rows["table"] == "t0"), "log_loss"] = np.nan
    rows.loc[(rows["model"] == models.JOINT) & (rows["split"] == 1), "log_loss"] = 0.3

    ratios = Results(rows, TASKS["classification"]).ratios(models.FOREST)

    assert ratios.to_dict() == pytest.approx({"t0": 0.5, "t1": 1.0})


def test_ranks_are_of_the_models_that_have_all_tables():
    losses = {models.JOINT: [0.1, 0.3], models.FOREST: [0.2, 0.2]}
    losses |= {models.BAGGING: [0.01, np.nan], LINEAR: [0.4, 0.4]}

    ranks = mean_ranks(results_of(losses), "log_loss")

    means = {models.JOINT: 1.5, models.FOREST: 1.5, LINEAR: 3}
    assert ranks["mean"].to_dict() == means
    assert ranks.loc[models.JOINT, ["low", "high"]].tolist() == [1, 2]
    assert ranks.loc[LINEAR, ["low", "high"]].tolist() == [3, 3]


def test_the_summary_says_who_is_better_by_how_much():
    losses = {models.JOINT: [0.1, 0.3, 0.2], models.FOREST: [0.2, 0.25, 0.8]}
    text = markdown(results_of(losses))

    cells = next(
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith(f"| {models.FOREST} ")
    )
    assert cells[4:8] == ["0.500", "1.200", "2 of 3", "58.3 %"]
    assert cells[-1] == "3.0"
    assert "Version 1 0000123; cpu: some" in text
    assert "| **0.2500** " in text


@pytest.mark.parametrize(("wins", "verdict"), [(3, "met"), (2, "missed")])
def test_targets_of_regression_are_by_rmse(wins, verdict):
    losses = {models.JOINT: [200.0] * 4, models.FOREST: [300.0] * wins}
    losses[models.FOREST] += [100.0] * (4 - wins)

    found = verdicts(results_of(losses, "regression"))

    question = f"lower RMSE than {models.FOREST}, of the tables"
    assert found[question] == verdict


def test_rmse_is_written_in_four_digits_of_any_scale():
    losses = {models.JOINT: [48_665.99, 0.00245678], models.FOREST: [50_000.0, 0.003]}

    lines = markdown(results_of(losses, "regression")).splitlines()

    by_table = [line.split() for line in lines if line.startswith(("| t0", "| t1"))]
    assert [row[5:8:2] for row in by_table] == [
        ["**48670**", "50000"],
        ["**0.002457**", "0.003000"],
    ]


@pytest.mark.quick(1)
@pytest.mark.parametrize("task", TASKS)
def test_the_report_is_written_from_the_file_alone(task, tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    every, file = TASKS[task].models, f"tables{TASKS[task].suffix}"
    losses = {name: random.uniform(0.1, 0.9, size=3) for name in every}
    made_up(losses, task).to_csv(tmp_path / "t.csv", index=False)
    arguments = ["--report-only", "--csv", f"{tmp_path / 't.csv'}", "--task", task]
    arguments += ["--out", f"{tmp_path / 'out'}"]
    monkeypatch.setattr("sys.argv", ["tables", *arguments])

    main()

    written = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert written == [f"{file}.md", f"{file}_ranks.png", f"{file}_time.png"]
    text = (tmp_path / "out" / f"{file}.md").read_text()
    assert text.startswith("3 tables (report half), 100 to 100 rows; 2 splits of 70 %")
    assert " missed " in text
