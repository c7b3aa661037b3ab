"""The stress of interrupts finds what it looks for."""

import time
from contextlib import suppress

import pytest

from examples.stress import interrupts


class Swallows:
    """A search that returns as if it had finished."""

    n_jobs = None

    def fit(self, X, y):
        with suppress(KeyboardInterrupt):
            time.sleep(0.05)


class Changes:
    """A search that is left half fitted."""

    n_jobs = None

    def fit(self, X, y):
        self.fitted_ = object()
        time.sleep(0.05)


@pytest.fixture
def run(monkeypatch):
    def run(searches, n):
        monkeypatch.setattr(interrupts, "searches", lambda: searches)
        monkeypatch.setattr("sys.argv", ["interrupts", "--n", str(n)])
        interrupts.main()

    return run


@pytest.mark.parametrize(
    ("search", "line"),
    [
        (Swallows(), "poor: 0 of 3 raised, 0 left the search changed"),
        (Changes(), "poor: 3 of 3 raised, 3 left the search changed"),
    ],
)
def test_a_search_that_fails_is_reported(search, line, run, capsys):
    with pytest.raises(SystemExit) as ended:
        run({"poor": search}, 3)

    assert ended.value.code == 1
    assert capsys.readouterr().out.startswith(line)


@pytest.mark.slow
def test_searches_are_interrupted_in_their_own_ways(run, capsys):
    searches = interrupts.searches()
    # Slow to start.
    assert searches.pop("two processes").n_jobs == 2

    run(searches, 3)

    lines = capsys.readouterr().out.splitlines()
    for (way, search), line in zip(searches.items(), lines, strict=True):
        assert line.startswith(f"{way}: 1 of 1 raised, 0 left the search changed")
        expected = "one by one" if way == "one by one" else "program"
        assert search.batching_.method == expected
