"""What it costs that scikit-learn's callbacks hear of every epoch."""

import contextlib
import io
import os
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any
from unittest.mock import patch

from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.metrics import get_scorer

from examples.benchmarks._measure import Figure, figure, interleave
from sklearn_jointens import JointEnsembleClassifier, mlp_classifier

N_MEMBERS, EPOCHS = 10, 20


class Hears:
    """A callback that does nothing."""

    def setup(self, estimator: Any, context: Any) -> None:
        """Nothing."""

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        """Nothing."""

    def on_fit_task_end(self, estimator: Any, context: Any) -> None:
        """Nothing."""

    def teardown(self, estimator: Any, context: Any) -> None:
        """Nothing."""


def watching(rounds: int, device: str) -> Iterator[Figure]:
    """Fits that are watched, against the same fit that nobody watches."""
    from sklearn.callback import ProgressBar, ScoringMonitor  # of scikit-learn 1.9

    X, y = load_digits(return_X_y=True)
    member = mlp_classifier(max_epochs=EPOCHS, device=device)
    plain = JointEnsembleClassifier(member, N_MEMBERS, random_state=0).fit(X, y)
    scorer = get_scorer("accuracy")

    def watched(callback: Any) -> Callable[[], Any]:
        ensemble = clone(plain).set_callbacks(callback)
        return lambda: ensemble.fit(X, y)

    tasks = {
        "plain": lambda: plain.fit(X, y),
        "nothing": watched(Hears()),
        "monitor": watched(ScoringMonitor(scoring="accuracy")),
        # It scores every epoch, and the fit.
        "scores": lambda: [scorer(plain, X, y) for _ in range(EPOCHS + 1)],
    }
    if find_spec("rich") is None:
        print("watching: rich is not installed, ProgressBar is left out")
    else:
        tasks["bar"] = watched(ProgressBar())
    # The bar is drawn, as in a terminal, but not seen.
    drawn = patch.dict(os.environ, FORCE_COLOR="1")
    with drawn, contextlib.redirect_stdout(io.StringIO()):
        times = interleave(tasks, 3 * rounds, device)
    with_scores = times["plain"] + times["scores"]
    for name, what, unwatched in (
        ("nothing", "a callback that does nothing / fit", times["plain"]),
        ("bar", "ProgressBar / fit", times["plain"]),
        ("monitor", "ScoringMonitor / fit and as many scores", with_scores),
    ):
        if name in times:
            ratio = times[name] / unwatched
            what = f"digits, {EPOCHS} epochs: fit with {what}"
            yield figure("watching", f"{N_MEMBERS} mlp", what, ratio, target="<= 1.02")
