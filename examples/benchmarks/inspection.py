"""What it costs to see inside an ensemble, in time and in memory."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._peak import AVAILABLE, in_own_process, peak_megabytes
from examples.benchmarks._setting import Setting, synthetic
from sklearn_jointens import inspection as inspect

N_ROWS = 10_000
# Rows to fit on; what is timed does not depend on what was learned.
_FIT_ROWS = 1000
_TARGETS = {"robustness_curve, 20 repeats": "<= 20", "prune_members": "<= 60"}


def inspection(setting: Setting) -> Iterator[Figure]:
    """Seconds of each inspection of many rows, and the memory that it takes."""
    tasks = _tasks(setting)
    times = interleave(tasks, setting.rounds, setting.device)
    for name, seconds in times.items():
        what = f"{name}, {N_ROWS:,} rows"
        target = _TARGETS.get(name, "")
        yield figure("inspection", setting.subject, what, seconds, "s", target)
    for name in tasks if AVAILABLE else ():
        what = f"peak memory of {name}, {N_ROWS:,} rows, beside the input"
        extra = in_own_process(_peak, setting, name)
        yield figure("inspection", setting.subject, what, extra, "MB", "<= 1000")


def _tasks(setting: Setting) -> dict[str, Callable[[], Any]]:
    ensemble = setting.ensemble(epochs=1).fit(*setting.rows(_FIT_ROWS))
    X, y = synthetic(N_ROWS, setting.data.n_features)[1:3]

    def uncertainty() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", inspect.RewardedDiversityWarning)
            inspect.uncertainty(ensemble, X)

    return {
        "predict_proba": lambda: ensemble.predict_proba(X),
        "robustness_curve, 20 repeats": lambda: inspect.robustness_curve(
            ensemble, X, y, random_state=0
        ),
        "diversity_decomposition": lambda: inspect.diversity_decomposition(
            ensemble, X, y
        ),
        "uncertainty": uncertainty,
        "member_contributions": lambda: inspect.member_contributions(ensemble, X, y),
        "prune_members": lambda: inspect.prune_members(ensemble, X, y),
        "pairwise_disagreement": lambda: inspect.pairwise_disagreement(ensemble, X),
    }


def _peak(setting: Setting, name: str) -> float:
    task = _tasks(setting)[name]
    return peak_megabytes(task)
