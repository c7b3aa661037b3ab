"""What prediction costs: of many rows, of one, and of a million."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._setting import Setting, proba_of_loop
from examples.benchmarks.rivals import bagging_of_sklearn, bagging_of_skorch

MANY, MILLION = 10_000, 1_000_000

# Rows of a chunk that the loop over members takes at once.
_CHUNK = 1000
# Rows to fit on; what is timed does not depend on what was learned.
_FIT_ROWS = 1000
# skorch predicts for so many members and rows in seconds; for more in minutes.
_MOST_MEMBERS = 100

Predict = Callable[[np.ndarray], np.ndarray]


def predict(setting: Setting) -> Iterator[Figure]:
    """`predict_proba` of many rows and of one, against a loop and against Bagging."""
    ensemble, loop = _joint_and_loop(setting)
    X = np.resize(setting.data.X_train, (MANY, setting.data.n_features))
    tasks = {
        "joint": lambda: ensemble.predict_proba(X),
        "loop": lambda: loop(X),
        "product": _first_product(setting, X),
    }
    times = interleave(tasks, 3 * setting.rounds, setting.device)
    bound = setting.bound({64: ">= 1.3", 16: ">= 1.8", 4: ">= 3"})
    what = f"loop over members / predict_proba, {MANY:,} rows"
    ratio = times["loop"] / times["joint"]
    yield figure("predict", setting.subject, what, ratio, target=bound)
    what = "predict_proba / the matrix product of the first layer alone"
    ratio = times["joint"] / times["product"]
    yield figure("predict", setting.subject, what, ratio)

    rivals = {
        name: bagging.fit(*setting.rows(_FIT_ROWS)).predict_proba
        for name, bagging in _baggings(setting).items()
    }
    predicts: dict[str, Predict] = {"joint": ensemble.predict_proba, **rivals}
    one = X[:1]
    of_many = {name: lambda p=p: p(X) for name, p in predicts.items()}
    of_one = {name: lambda p=p: p(one) for name, p in predicts.items()}
    times = interleave(of_many, setting.rounds, setting.device, warm_ups=of_one)
    for name in rivals:
        what = f"{name} / predict_proba, {MANY:,} rows"
        yield figure("predict", setting.subject, what, times[name] / times["joint"])

    tasks = {"joint": of_one["joint"], "loop": lambda: loop(one)}
    times = interleave(tasks, 50 * setting.rounds, setting.device)
    what = "predict_proba of one row"
    yield figure("predict", setting.subject, what, 1e3 * times["joint"], "ms", "<= 2")
    ratio = times["loop"] / times["joint"]
    what = "loop over members / predict_proba, one row"
    yield figure("predict", setting.subject, what, ratio)
    times = interleave(of_one, 5 * setting.rounds, setting.device)
    for name in rivals:
        what = f"{name} / predict_proba, one row"
        yield figure("predict", setting.subject, what, times[name] / times["joint"])


def million(setting: Setting) -> Iterator[Figure]:
    """`predict_proba` of a million rows against a loop, and against fewer rows."""
    ensemble, loop = _joint_and_loop(setting)
    X = np.empty((MILLION, setting.data.n_features), dtype=np.float32)
    for start in range(0, MILLION, MANY):
        X[start : start + MANY] = np.resize(setting.data.X_train, (MANY, X.shape[1]))
    few = X[:MANY]
    tasks = {
        "joint": lambda: ensemble.predict_proba(X),
        "few": lambda: ensemble.predict_proba(few),
        "loop": lambda: loop(X),
    }
    warm_ups = {"joint": tasks["few"], "loop": lambda: loop(few)}
    times = interleave(tasks, setting.rounds, setting.device, warm_ups)
    what = f"loop over members / predict_proba, {MILLION:,} rows"
    yield figure("million", setting.subject, what, times["loop"] / times["joint"])
    what = f"time a row: of {MILLION:,} rows / of {MANY:,}"
    ratio = times["joint"] / times["few"] * len(few) / len(X)
    yield figure("million", setting.subject, what, ratio)


def _joint_and_loop(setting: Setting) -> tuple[Any, Predict]:
    """A fitted ensemble, and the same prediction by a loop over its members."""
    ensemble = setting.ensemble(epochs=1).fit(*setting.rows(_FIT_ROWS))
    modules = [net.module_ for net in ensemble.estimators_]

    def loop(X: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            proba = [
                proba_of_loop(modules, chunk.to(setting.device)).cpu()
                for chunk in torch.as_tensor(X).split(_CHUNK)
            ]
        return torch.cat(proba).numpy()

    return ensemble, loop


def _first_product(setting: Setting, X: np.ndarray) -> Callable[[], None]:
    """What all members' first layers compute at the least, a chunk at a time."""
    chunks = torch.as_tensor(X, device=setting.device).split(_CHUNK)
    weight = chunks[0].new_zeros(setting.n_units, X.shape[1])

    def multiply() -> None:
        for chunk in chunks:
            torch.mm(weight, chunk.t())

    return multiply


def _baggings(setting: Setting) -> dict[str, Any]:
    """Bagging of nets of the same size, by the names that the table calls them."""
    baggings = {"BaggingClassifier(MLPClassifier)": bagging_of_sklearn(setting, 1)}
    if setting.n_members <= _MOST_MEMBERS:
        name = "BaggingClassifier(skorch net)"
        baggings = {name: bagging_of_skorch(setting, 1), **baggings}
    return baggings
