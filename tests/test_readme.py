"""The README's example runs as it is printed."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.slow
def test_the_readmes_complete_example_runs():
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL)
    complete = [block for block in blocks if "load_digits" in block]
    assert len(complete) == 1
    names: dict = {}
    exec(complete[0], names)
    clf = names["clf"]
    assert names["search"].best_params_ == {"lam": clf.lam}
    assert clf.score(names["X_test"], names["y_test"]) > 0.9
