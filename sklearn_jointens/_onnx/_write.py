"""`to_onnx`: a model in a file, once it is known to say what the ensemble says."""

import itertools
import os
from typing import Any

import numpy as np
import onnxruntime

from sklearn_jointens._onnx._answers import LABEL, answers_to
from sklearn_jointens._onnx._graph import MASK
from sklearn_jointens._onnx._model import model_of
from sklearn_jointens._onnx._refusals import check_exportable
from sklearn_jointens._onnx._rows import Rows, rows_of
from sklearn_jointens._persistence._container import write_whole

# Of the number, and of the largest; rounding is a hundred times smaller.
_TOLERANCE = 1e-4


def to_onnx(ensemble: Any, path: str | os.PathLike[str], example: Any = None) -> None:
    """Write a fitted ensemble; see `JointEnsembleClassifier.to_onnx`."""
    path = os.fspath(path)
    check_exportable(ensemble)
    rows = rows_of(ensemble, example)
    model = model_of(ensemble, rows.array, rows.inputs).SerializeToString()
    _check_says_the_same(ensemble, model, rows)
    write_whole(path, model)


def _check_says_the_same(ensemble: Any, model: bytes, rows: Rows) -> None:
    """Raise unless a model says what the ensemble says, of several rows and of one."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    providers = ["CPUExecutionProvider"]
    session = onnxruntime.InferenceSession(model, options, providers=providers)
    net, n_members = ensemble.net_, len(ensemble.estimators_)
    masks = [np.ones(n_members, dtype=bool), np.arange(n_members) == n_members - 1]
    for n_rows, mask in itertools.product((len(rows.array), 1), masks):
        fed = {name: values[:n_rows] for name, values in rows.fed.items()}
        answers = answers_to(net, rows.array[:n_rows], np.flatnonzero(mask))
        numbers = [name for name in answers if name != LABEL]
        found = session.run(numbers, {**fed, MASK: mask})
        for got, expected in zip(found, map(answers.get, numbers), strict=True):
            if not _are_close(got, expected):
                raise ValueError(
                    "The 'module' of the member must compute the same of the same rows "
                    "each time, however many there are, so that a graph can. Got a "
                    f"graph that says something else of {n_rows} rows instead."
                )


def _are_close(found: Any, expected: Any) -> bool:
    largest = np.abs(expected[np.isfinite(expected)]).max(initial=0)
    tolerance = {"rtol": _TOLERANCE, "atol": _TOLERANCE * largest}
    return np.allclose(found, expected, **tolerance, equal_nan=True)
