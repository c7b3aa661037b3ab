"""`see_inside.py` shows what its ensembles say, and fits none of them twice."""

import numpy as np
import pytest
from sklearn import __version__ as sklearn_version
from sklearn.utils.fixes import parse_version

from examples import see_inside as program
from examples.paper._protocols import Case, perceptrons
from sklearn_jointens import JointEnsembleClassifier

ASKED = "--lams 0 1 --members 4 --epochs 2"


@pytest.fixture
def run(monkeypatch, tmp_path):
    shown = set(program.INSPECTIONS)
    if parse_version(sklearn_version) < parse_version("1.8"):
        shown.remove("calibration")

    def main():
        arguments = ["see_inside.py", *ASKED.split(), "--out", str(tmp_path)]
        monkeypatch.setattr("sys.argv", [*arguments, "--only", *sorted(shown)])
        program.main()
        return shown

    return main


@pytest.mark.slow
def test_what_is_shown_is_what_the_ensembles_say(run, tmp_path, monkeypatch):
    shown = run()

    files = {path.name for path in tmp_path.glob("*.md")}
    assert files == {f"inside_digits_{name}.md" for name in shown}
    table = (tmp_path / "inside_digits_robustness.md").read_text().splitlines()
    cells = [[cell.strip() for cell in line.split("|")] for line in table[2:]]
    data = program.load_data("digits")
    case = Case("digits", "", "joint", 0.0, 0, 2, len(data.y_train))
    member = perceptrons(4, 4).member(case, None, "cpu")
    for _, lam, accuracy, *_ in cells:
        (path,) = (tmp_path / "ensembles").glob(f"digits_4x4_2_{lam}_0.jointens")
        loaded = JointEnsembleClassifier.load(path, estimator=member)
        score = loaded.score(data.X_test, data.y_test)
        assert accuracy == f"{100 * score:.1f}"

    monkeypatch.setattr(JointEnsembleClassifier, "fit", None)
    run()


def test_permuted_rows_have_the_pixels_of_test_rows():
    data = program.load_data("digits")

    rows = program.permuted(data, None)

    assert not np.array_equal(rows, data.X_test)
    np.testing.assert_array_equal(np.sort(rows), np.sort(data.X_test))
