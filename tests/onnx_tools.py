"""Fitted ensembles and the graphs that are made of them."""

from typing import Any, NamedTuple

import numpy as np
import onnx
import onnxruntime


def session_of(model):
    """A session on one thread; of a path or of a model."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = model if isinstance(model, str) else model.SerializeToString()
    return onnxruntime.InferenceSession(
        model, options, providers=["CPUExecutionProvider"]
    )


def answers_of(session, fed):
    """What a session says, by the names of its outputs."""
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(None, fed), strict=True))


def described(values):
    """Names, types and sizes of inputs or outputs; rows have no size."""
    return {value.name: (value.type, value.shape[1:]) for value in values}


def operators_in(graph):
    """Names of all operators, those in branches included."""
    for node in graph.node:
        yield node.op_type
        for attribute in node.attribute:
            yield from operators_in(attribute.g)


class Shipped(NamedTuple):
    """An ensemble, and the graph that was written of it."""

    ensemble: Any
    X: Any
    path: str
    session: Any

    @classmethod
    def of(cls, ensemble, X, folder, example=None):
        path = str(folder / "ensemble.onnx")
        ensemble.to_onnx(path, example=example)
        return cls(ensemble, X, path, session_of(path))

    @property
    def n_members(self):
        return len(self.ensemble.estimators_)

    @property
    def graph(self):
        return onnx.load(self.path).graph

    def fed(self, n_rows):
        return {"X": np.resize(self.X, (n_rows, *self.X.shape[1:]))}

    def says(self, mask, n_rows=7):
        return answers_of(self.session, {**self.fed(n_rows), "members": mask})

    def expected(self, mask, n_rows=7):
        """The same by the ensemble itself."""
        X = self.fed(n_rows)["X"]
        predicted = self.ensemble.predict(X, members=mask)
        if hasattr(self.ensemble, "predict_proba"):
            proba = self.ensemble.predict_proba(X, members=mask)
            return {"label": predicted, "probabilities": proba}
        answers = {"variable": predicted.reshape(n_rows, -1)}
        if "std" in described(self.session.get_outputs()):
            _, std = self.ensemble.predict(X, members=mask, return_std=True)
            answers["std"] = std.reshape(n_rows, -1)
        return answers

    def assert_same(self, mask, n_rows=7):
        said, expected = self.says(mask, n_rows), self.expected(mask, n_rows)
        assert said.keys() == expected.keys()
        for name, values in expected.items():
            if name == "label":
                np.testing.assert_array_equal(said[name], values)
            else:
                unit = 1 if name == "probabilities" else np.abs(values).max()
                np.testing.assert_allclose(said[name], values, rtol=0, atol=1e-5 * unit)


def random_masks(n_members, n_masks=100):
    """Masks of at least one member."""
    random = np.random.RandomState(0)
    masks = random.rand(n_masks, n_members) < random.rand(n_masks, 1)
    masks[np.arange(n_masks), random.randint(n_members, size=n_masks)] = True
    return masks
