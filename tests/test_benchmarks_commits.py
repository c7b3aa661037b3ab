"""The comparison of two checkouts runs, and says what it measured."""

import re
from pathlib import Path

import pytest

from examples.benchmarks import commits


@pytest.mark.slow
def test_a_checkout_is_compared_with_itself(capsys):
    root = Path(__file__).parents[1]
    task = "step of 16 MLPs"
    commits.main(["--before", str(root), "--rounds", "1", "--task", task])
    number = r"\d+(\.\d+)?(e[+-]\d+)?"
    line = rf"{task}: {number} x \({number} to {number}\), {number} ms before and .*"
    assert re.fullmatch(line, capsys.readouterr().out.strip())
