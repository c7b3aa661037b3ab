"""What an ensemble costs where there is no torch: as an ONNX graph, by onnxruntime."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
import skl2onnx
import torch

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._setting import Setting
from examples.benchmarks.rivals import bagging_of_sklearn

MANY = 10_000
# Rows to fit on; what is timed does not depend on what was learned.
_FIT_ROWS = 1000

GRAPH, TORCH = "to_onnx", "predict_proba"
BAGGING = "skl2onnx of BaggingClassifier(MLPClassifier)"
HALF_ON, HALF_LEFT = "half of the members on", "half of the members left"

Predict = Callable[[np.ndarray], Any]


def ship(setting: Setting) -> Iterator[Figure]:
    """A graph of all members against torch, skl2onnx's of Bagging, and half of them."""
    setting = replace(setting, device="cpu")
    X = np.resize(setting.data.X_train, (MANY, setting.data.n_features))
    with TemporaryDirectory() as folder:
        predicts, sizes = graphs(setting, Path(folder))
    of_one = {name: lambda p=p: p(X[:1]) for name, p in predicts.items()}
    of_many = {name: lambda p=p: p(X) for name, p in predicts.items()}
    for rows, tasks, rounds, target in (
        ("one row", of_one, 50 * setting.rounds, ">= 5"),
        (f"{MANY:,} rows", of_many, setting.rounds, ""),
    ):
        times = interleave(tasks, rounds, warm_ups=of_one)
        graph = times.pop(GRAPH)
        milliseconds = 1e3 * graph
        yield figure("ship", setting.subject, f"to_onnx, {rows}", milliseconds, "ms")
        for name, seconds in times.items():
            what = f"{name} / to_onnx, {rows}"
            aim = target if name == BAGGING else ""
            yield figure("ship", setting.subject, what, seconds / graph, target=aim)
    size = sizes.pop(GRAPH)
    yield figure("ship", setting.subject, "size of to_onnx's file", size / 1e6, "MB")
    for name, other in sizes.items():
        what = f"size of the file of {name} / of to_onnx"
        yield figure("ship", setting.subject, what, other / size)


def graphs(setting: Setting, folder: Path) -> tuple[dict[str, Predict], dict[str, int]]:
    """What predicts probabilities, and bytes of its file, by what it is called.

    Parameters
    ----------
    setting : Setting
    folder : path
        To write to.
    """
    X, y = setting.rows(_FIT_ROWS)
    ensemble = setting.ensemble(epochs=1).fit(X, y)
    everybody = np.ones(setting.n_members, dtype=bool)
    half = np.arange(setting.n_members) % 2 == 0
    smaller = ensemble.drop_members(~half)
    bagging = bagging_of_sklearn(setting, 1).fit(X, y)
    files = {GRAPH: folder / "all", HALF_LEFT: folder / "half"}
    ensemble.to_onnx(files[GRAPH], example=X)
    smaller.to_onnx(files[HALF_LEFT], example=X)
    models = {name: path.read_bytes() for name, path in files.items()}
    model = skl2onnx.to_onnx(bagging, X[:1], options={"zipmap": False})
    models[BAGGING] = model.SerializeToString()
    sessions = {name: _session(model) for name, model in models.items()}

    def predict(name: str, **fed: np.ndarray) -> Predict:
        return lambda rows: sessions[name].run(["probabilities"], {"X": rows, **fed})[0]

    predicts = {
        GRAPH: predict(GRAPH, members=everybody),
        TORCH: ensemble.predict_proba,
        BAGGING: predict(BAGGING),
        HALF_ON: predict(GRAPH, members=half),
        HALF_LEFT: predict(HALF_LEFT, members=everybody[half]),
    }
    return predicts, {name: len(model) for name, model in models.items()}


def _session(model: bytes) -> onnxruntime.InferenceSession:
    """A session on as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # skl2onnx leaves shapes that are no shapes
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )
