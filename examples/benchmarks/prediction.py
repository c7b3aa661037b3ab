"""What prediction costs, in time and in memory, and whether its numbers are right."""

import gc
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import torch

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._setting import (
    BATCH_SIZE,
    Setting,
    joint_step,
    proba_of_loop,
    sgd,
)

MEGABYTE = 1e6


def predict(setting: Setting) -> Iterator[Figure]:
    """`predict_proba` on many rows and on one."""
    ensemble = setting.ensemble(epochs=1).fit(*setting.rows(1000))
    X = np.resize(setting.data.X_train, (10_000, setting.data.n_features))
    modules = [net.module_ for net in ensemble.estimators_]

    def loop() -> np.ndarray:
        chunks = torch.as_tensor(X, device=setting.device).split(1000)
        with torch.inference_mode():
            proba = [proba_of_loop(modules, chunk) for chunk in chunks]
        return torch.cat(proba).cpu().numpy()

    tasks = {"joint": lambda: ensemble.predict_proba(X), "loop": loop}
    times = interleave(tasks, 3 * setting.rounds, setting.device)
    bound = {64: ">= 1.3", 16: ">= 1.8", 4: ">= 3"}.get(setting.hidden, "")
    what = "loop over members / predict_proba, 10,000 rows"
    ratio = times["loop"] / times["joint"]
    yield figure("predict", setting.subject, what, ratio, target=bound)

    tasks = {"one": lambda: ensemble.predict_proba(X[:1])}
    times = interleave(tasks, 50 * setting.rounds, setting.device)
    what = "predict_proba of one row"
    yield figure("predict", setting.subject, what, 1e3 * times["one"], "ms", "<= 2")


def memory(setting: Setting) -> Iterator[Figure]:
    """Memory that `predict_proba` takes beside its input and output."""
    n_rows = 1_000_000
    # A process of its own: the peak of this one has been elsewhere.
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        extra = process.submit(_extra_megabytes, setting, n_rows).result()
    what = f"peak memory of predict_proba of {n_rows:,} rows beside input and output"
    yield figure("memory", setting.subject, what, extra, "MB", "<= 200")


def _extra_megabytes(setting: Setting, n_rows: int) -> float:
    ensemble = setting.ensemble(epochs=1).fit(*setting.rows(1000))
    X = np.ones((n_rows, setting.data.n_features), dtype=np.float32)
    gc.collect()
    before = _peak_bytes()
    proba = ensemble.predict_proba(X)
    return (_peak_bytes() - before - proba.nbytes) / MEGABYTE


def _peak_bytes() -> int:
    """Most memory that this process has held; of the CPU."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def exactness(setting: Setting) -> Iterator[Figure]:
    """How far the vectorized members are from a plain loop over them."""
    X, y = setting.tensors(10 * BATCH_SIZE)
    vectorized, looped = setting.vectorized(), setting.vectorized("loop")
    with torch.inference_mode():
        one = torch.softmax(vectorized(X).mean(0), dim=1)
        other = proba_of_loop(setting.modules(), X)
        what = f"probabilities against a loop ({vectorized.method})"
        deviation = float((one - other).abs().max())
    yield figure("exactness", setting.subject, what, deviation, "", "<= 1e-6")
    batches = list(zip(X.split(BATCH_SIZE), y.split(BATCH_SIZE), strict=True))
    for module in (vectorized, looped):
        optimizer = sgd(module, lr=0.1)
        for batch in batches[:3]:
            joint_step(module, optimizer, *batch)
    with torch.inference_mode():
        deviation = float((vectorized(X) - looped(X)).abs().max())
    what = "logits against a loop after 3 updates (lr=0.1)"
    yield figure("exactness", setting.subject, what, deviation, "", "<= 1e-5")
