"""Candidates for the default member are compared with it table by table."""

import numpy as np
import pandas as pd
import pytest

from examples._tables import Table
from examples.benchmarks._table_task import TASKS
from examples.benchmarks.choose_tabular import DEFAULT, measure, report


@pytest.mark.parametrize("task", TASKS)
def test_the_linear_model_is_fitted_to_so_many_rows_only(task, monkeypatch):
    x = np.arange(100)
    y = x.astype(float) if task == "regression" else np.where(x % 2, "a", "b")
    table = Table("t", task, pd.DataFrame({"x": x}), y, [])
    n_rows = []
    fit = type(TASKS[task].models[TASKS[task].linear](0, 1)).fit

    def counted(self, X, y):
        n_rows.append(len(X))
        return fit(self, X, y)

    monkeypatch.setattr("sklearn.pipeline.Pipeline.fit", counted)

    found = measure(table, 20, 0, TASKS[task].linear)

    assert n_rows == [20]
    assert found["note"] == ""
    assert found["rows"] == 20
    assert np.isfinite(found[TASKS[task].main])


def test_ratios_are_of_each_table_so_that_none_decides_alone():
    task = TASKS["regression"]
    rmse = {DEFAULT: [1.0, 2.0, 1e6], "lam=0": [2.0, 1.0, 5e5]}
    rmse[task.linear] = [4.0, 4.0, 1e6]
    rows = [
        {"table": f"t{i}", "rows": 5000, "seed": 0, "candidate": name, "rmse": value}
        for name, values in rmse.items()
        for i, value in enumerate(values)
    ]

    text = report(pd.DataFrame(rows).assign(seconds=1.0), task)

    assert "worst / ridge regression" in text
    (line,) = (line for line in text.splitlines() if line.startswith("| lam=0 "))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells == ["lam=0", "0.500", "0.794", "67%", "0.500", "1.00", "3"]
