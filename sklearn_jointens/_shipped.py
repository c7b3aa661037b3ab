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
        """Write the fitted ensemble as one ONNX graph whose members can be switched.

        The graph takes rows, and a mask that says which members are on; the mask may
        change from call to call. The graph holds all that predictions need: the
        encoding of a table, the labels, the units of y. Install the extra ``onnx``.

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

        When no member is on, there is no answer: probabilities and numbers are NaN,
        `label` is the first class, and no label of several is set.

        Members that are off are not computed. Most members become one batched graph,
        into which the weights of those that are on are gathered. Convolutions, and
        members that are trained in a loop (see `vectorization_`), become one branch
        each.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced.
        example : array-like of shape (n_samples, ...), default=None
            Some rows of X, dense. The graph takes numbers in their dtype (those of a
            frame in float32 if all are, else in float64), and is checked on them before
            it is written. ``None`` makes rows up in the dtype that the members compute
            in.

        Raises
        ------
        ImportError
            onnxscript or onnxruntime is not installed.
        ValueError
            The ensemble does what no graph can hold; the message says what. Nothing
            is written, and an earlier file stays as it is.

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
