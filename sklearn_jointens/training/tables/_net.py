"""Skorch nets for tables, which settle what they are not told by their data."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from sklearn_jointens.nn import TabularMLP, tabular_encoding
from sklearn_jointens.training._callbacks import BestEpoch
from sklearn_jointens.training._copies import unfitted_net
from sklearn_jointens.training._member_net import (
    MemberNetClassifier,
    MemberNetRegressor,
)
from sklearn_jointens.training.tables import _by_size
from sklearn_jointens.training.tables._columns import ColumnCodes, is_frame

_AUTO = "auto"
_OF_MODULE = ("module__encoding", "module__dtype")


if TYPE_CHECKING:
    from sklearn_jointens.training._member_net import MemberNet as _MemberNet
else:
    _MemberNet = object  # a mixin of two nets: a skorch class comes behind it


class TabularNet(_MemberNet):
    """A net whose module takes an `encoding`, which is learned from the training data.

    What is ``"auto"`` is settled by the data.
    """

    n_bins: Any

    # The maker that says what settings may be.
    maker: str

    # What the data may settle, besides the encoding.
    settled_names = (*("batch_size", "lr", "optimizer__weight_decay", "module__dtype"),)

    def settled(
        self,
        X: Any,
        weight: np.ndarray | None = None,
        columns: ColumnCodes | None = None,
        like: Any = None,
    ) -> Any:
        """An unfitted copy that is told all that these data say.

        Parameters
        ----------
        X : ndarray or sparse matrix of shape (n_samples, ...)
            Numbers and codes of categories.
        weight : ndarray of shape (n_samples,) or None, default=None
            Of the rows.
        columns : ColumnCodes or None, default=None
            What made X of a frame.
        like : TabularNet or None, default=None
            A settled net, whose encoding and sizes the copy has to share.

        Returns
        -------
        TabularNet
        """
        settled = unfitted_net(self, **self._said_by(X, weight, columns, like))
        settled.columns_ = columns
        return settled

    def _said_by(self, X: Any, weight: Any, columns: Any, like: Any) -> dict[str, Any]:
        """Parameters that the data settle."""
        n_rows = X.shape[0]
        asked = self.get_params(deep=False)
        self._check(asked)
        said: dict[str, Any] = {}
        if asked["batch_size"] == _AUTO:
            said["batch_size"] = _by_size.batch_size(n_rows)
        if asked["lr"] == _AUTO:
            said["lr"] = _by_size.learning_rate(n_rows)
        if asked.get("optimizer__weight_decay") == _AUTO:
            said["optimizer__weight_decay"] = _by_size.weight_decay(n_rows)
        if like is not None:
            return said | {name: getattr(like, name) for name in _OF_MODULE}
        encoding, dtype = (asked.get(name) for name in _OF_MODULE)
        if dtype is None:
            dtype = _by_size.weight_dtype(n_rows, X.dtype)
            if encoding is not None:
                dtype = encoding.bin_starts.dtype
            said["module__dtype"] = dtype
        if encoding is None:
            said["module__encoding"] = self._encoding(X, weight, columns, dtype)
        return said

    def _check(self, asked: dict[str, Any]) -> None:
        names = ("lr", "batch_size", "max_epochs", "n_bins")
        told = {name: asked[name] for name in names}
        if "optimizer__weight_decay" in asked:
            told["weight_decay"] = asked["optimizer__weight_decay"]
        for named in self.callbacks or ():
            callback = named[1] if isinstance(named, tuple) else named
            if isinstance(callback, BestEpoch):
                told["patience"] = callback.patience
                told["n_drops"] = callback.n_drops
        can_be_auto = ("lr", "batch_size", "weight_decay", "n_bins")
        _by_size.check_settings(
            {k: v for k, v in told.items() if not (k in can_be_auto and v == _AUTO)},
            self.maker,
        )

    def _encoding(self, X: Any, weight: Any, columns: Any, dtype: Any) -> Any:
        is_category = None if columns is None else columns.is_category
        n_numbers = int(np.prod(X.shape[1:]))
        n_numbers -= 0 if is_category is None else int(is_category.sum())
        n_bins = self.n_bins
        return tabular_encoding(
            X if X.ndim == 2 else X.reshape(len(X), -1),
            is_category,
            weight,
            n_bins=_by_size.n_bins(n_numbers) if n_bins == _AUTO else n_bins,
            dtype=dtype,
        )

    def kind(self) -> Any:
        """What settled nets must have in common to be trained as one program."""
        params = self.get_params(deep=False)
        encoding = params["module__encoding"]
        return (
            *(str(params[name]) for name in self.settled_names if name in params),
            *((part.shape, part.dtype) for part in encoding.buffers()),
        )

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Any:
        self.columns_ = ColumnCodes(X) if is_frame(X) else None
        X = self.as_array(X)
        with self._settling(X):
            return super().fit(X, y, **fit_params)

    def partial_fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        asked = (vars(self).get(name) for name in self.settled_names)
        if hasattr(self, "module__encoding") and not any(a == _AUTO for a in asked):
            return super().partial_fit(X, y, **params)
        with self._settling(self.as_array(X)):
            return super().partial_fit(X, y, **params)

    @contextmanager
    def _settling(self, X: Any) -> Iterator[None]:
        """Be told what the data say, for as long as the block runs."""
        said = self._said_by(X, None, self.columns_, None)
        before = {name: vars(self)[name] for name in said if name in vars(self)}
        vars(self).update(said)
        try:
            yield
        finally:
            for name in said:
                del vars(self)[name]
            vars(self).update(before)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags


class TabularNetClassifier(TabularNet, MemberNetClassifier):
    """A skorch ``NeuralNetClassifier`` for tables as they come.

    Parameters
    ----------
    module : torch module class, default=TabularMLP
        Takes an `encoding` and `n_outputs`.
    *args : tuple
        As of skorch's ``NeuralNetClassifier``.
    n_bins : int or "auto", default="auto"
        Bins of a column of numbers, at most; see
        :func:`~sklearn_jointens.nn.tabular_encoding`.
    **kwargs : dict
        As of skorch's ``NeuralNetClassifier``. `batch_size`, `lr` and
        `optimizer__weight_decay` may be ``"auto"``; see
        :func:`~sklearn_jointens.tabular_classifier`.
    """

    maker = "tabular_classifier"

    def __init__(
        self, module: Any = TabularMLP, *args: Any, n_bins: Any = _AUTO, **kwargs: Any
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.n_bins = n_bins


class TabularNetRegressor(TabularNet, MemberNetRegressor):
    """A skorch ``NeuralNetRegressor`` for tables as they come, and y of any scale.

    It learns y in units of its standard deviation, from its mean (of a criterion of
    counts, in units of its mean), and predicts it as it came.

    Parameters
    ----------
    module : torch module class, default=TabularMLP
        Takes an `encoding` and `n_outputs`.
    *args : tuple
        As of skorch's ``NeuralNetRegressor``.
    n_bins : int or "auto", default="auto"
        Bins of a column of numbers, at most; see
        :func:`~sklearn_jointens.nn.tabular_encoding`.
    **kwargs : dict
        As of skorch's ``NeuralNetRegressor``. `batch_size`, `lr` and
        `optimizer__weight_decay` may be ``"auto"``; see
        :func:`~sklearn_jointens.tabular_regressor`.
    """

    maker = "tabular_regressor"
    scales_targets = True

    def __init__(
        self, module: Any = TabularMLP, *args: Any, n_bins: Any = _AUTO, **kwargs: Any
    ) -> None:
        super().__init__(module, *args, **kwargs)
        self.n_bins = n_bins
