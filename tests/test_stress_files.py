"""The stress of files tries what it says, and tells what it finds."""

import numpy as np
import pytest

from examples.stress import files
from examples.stress._mutations import KINDS, mutate


@pytest.fixture(scope="module")
def subjects():
    return files.subjects()


@pytest.mark.quick(1)
@pytest.mark.parametrize("kind", KINDS)
def test_a_change_is_a_change_and_can_be_made_again(kind, subjects):
    data = subjects[0].data

    changed, again = (mutate(kind, data, np.random.default_rng(3)) for _ in range(2))

    assert changed != data
    assert len(changed) == len(again)


@pytest.mark.slow
def test_no_changed_file_does_harm(capsys):
    n_failures = files.main(["--n", "40"])

    lines = capsys.readouterr().out.splitlines()
    assert n_failures == 0
    assert len(lines) == len(KINDS)
    assert lines[0].startswith(
        "bit flips: 4 files, 4 refused clearly, 0 loaded alike, "
    )


@pytest.fixture
def _prepared(subjects, monkeypatch):
    monkeypatch.setattr(files, "_subjects", list(subjects))


@pytest.mark.usefixtures("_prepared")
def test_other_numbers_are_told(subjects):
    outcome, message, _ = files.examine(1, subjects[0].data)

    assert outcome == "failed"
    assert message.startswith("loaded, and predicts no more")


@pytest.mark.usefixtures("_prepared")
def test_another_error_is_told(subjects, monkeypatch):
    def load(path):
        raise RecursionError("deep")

    monkeypatch.setattr(files.JointEnsembleClassifier, "load", load)

    assert files.examine(0, b"")[:2] == ("failed", "RecursionError('deep')")


@pytest.mark.usefixtures("_prepared")
def test_an_unclear_sentence_is_told(subjects, monkeypatch):
    def load(path):
        raise ValueError("no")

    monkeypatch.setattr(files.JointEnsembleClassifier, "load", load)

    assert files.examine(0, b"")[:2] == ("failed", "no")
