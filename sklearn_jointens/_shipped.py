"""A fitted ensemble goes where there is no torch."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.utils.validation import check_is_fitted


class ShippedMixin:
    """Becomes an ONNX graph, by itself or at the end of a pipeline.

    What does it is imported at the call: neither torch's exporter nor ONNX is needed by
    anything else.
    """

    def to_onnx(self, path: str | os.PathLike[str], example: Any = None) -> None:
        """Write the fitted ensemble as one ONNX graph, whose members can be switched.

        The graph takes rows, and a mask of the members that are on, which may be
        another at each call. It holds all that predictions need: the encoding of a
        table, the labels, the units of y. Needs the packages of the extra ``onnx``.

        ================= ==========================================================
        Input             What it is
        ================= ==========================================================
        ``X``             Rows, of shape (n_samples, ...). An ensemble that was fitted
                          on a frame with categories takes each column by its name
                          instead, of shape (n_samples, 1): categories that are text as
                          strings, in which ``""`` is a missing value, all others as
                          numbers, in which NaN is.
        ``members``       Which members are on, bool of shape (n_members,): the mask
                          that `predict_proba` and `predict` take.
        ================= ==========================================================

        ================= ==========================================================
        Output            What it is
        ================= ==========================================================
        ``label``         What `predict` returns, of classes or several labels.
        ``probabilities`` What `predict_proba` returns.
        ``variable``      What `predict` returns of numbers, always of shape
                          (n_samples, n_targets).
        ``std``           Their standard deviations, of members that learn variances.
        ================= ==========================================================

        Where no member is on there is no answer: probabilities and numbers are NaN,
        `label` is the first class, and no label is set.

        Members that are off take no time, or little: those that were trained as one
        (see `vectorization_`) are one batched graph, into which the weights of those
        that are on are gathered; others are a branch each.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced.
        example : array-like of shape (n_samples, ...), default=None
            Some rows of X. The graph takes numbers in their dtype (those of a frame in
            float32 if all are, else in float64), and is known to say of them what the
            ensemble says. ``None`` is the dtype that the members take, float64 for the
            default member fitted on float64.

        Raises
        ------
        ImportError
            onnxscript or onnxruntime is not installed.
        ValueError
            The ensemble does what no graph can hold; the message says what. Nothing
            is written.

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import mkdtemp
        >>> import numpy as np
        >>> import onnxruntime
        >>> from sklearn.datasets import load_iris
        >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
        >>> X, y = load_iris(return_X_y=True)
        >>> member = mlp_classifier(hidden_layer_sizes=(8,), max_epochs=5)
        >>> clf = JointEnsembleClassifier(member, n_estimators=4, random_state=0)
        >>> path = Path(mkdtemp()) / "iris.onnx"
        >>> clf.fit(X, y).to_onnx(path, example=X)
        >>> session = onnxruntime.InferenceSession(path)
        >>> half = np.array([True, False, True, False])
        >>> label, probabilities = session.run(None, {"X": X[:2], "members": half})
        >>> probabilities.round(2)
        array([[0.39, 0.33, 0.27],
               [0.38, 0.33, 0.28]])
        >>> clf.predict_proba(X[:2], members=half).round(2)
        array([[0.39, 0.33, 0.27],
               [0.38, 0.33, 0.28]])
        """
        ensemble = self._shipped()
        with _packages_for("to_onnx"):
            from sklearn_jointens._onnx import to_onnx
        to_onnx(ensemble, path, example)

    def onnx_parser(self) -> Callable[..., Any]:
        """What skl2onnx, which calls it, declares the outputs of a graph with.

        Returns
        -------
        callable
        """
        ensemble = self._shipped()
        with _packages_for("skl2onnx"):
            from sklearn_jointens._onnx._skl2onnx import parser
        return parser(self, ensemble)

    def onnx_shape_calculator(self) -> Callable[..., None]:
        """What skl2onnx, which calls it, corrects the types of outputs with.

        Returns
        -------
        callable
            Nothing is left to correct.
        """
        return lambda operator: None

    def onnx_converter(self) -> Callable[..., None]:
        """What skl2onnx, which calls it, adds an ensemble to a graph with.

        Returns
        -------
        callable
        """
        ensemble = self._shipped()
        with _packages_for("skl2onnx"):
            from sklearn_jointens._onnx._skl2onnx import converter
        return converter(self, ensemble)

    def _shipped(self) -> Any:
        """The fitted ensemble that a graph is made of."""
        check_is_fitted(self)
        return self


@contextmanager
def _packages_for(caller: str) -> Iterator[None]:
    """Say what to install where a block's import fails."""
    try:
        yield
    except ImportError as error:
        raise ImportError(
            f"{caller} requires onnxscript and onnxruntime. You can install them with "
            "`pip install sklearn-jointens[onnx]`."
        ) from error
