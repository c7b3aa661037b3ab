"""Callbacks of scikit-learn, to which a fit is a task, and its epochs are parts of it.

skorch's callbacks belong to the member; these belong to the estimator, see an ensemble
as it stands, and go with pipelines and searches. scikit-learn has them from 1.9 on.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import numpy as np

from sklearn_jointens._compat import (
    CallbackSupportMixin,
    _safe_indexing,
    with_callbacks,
)

# What scikit-learn keeps in an estimator from the begin of a watched fit to its end.
_WHILE_WATCHED = (
    "_callback_fit_ctx",
    "_skl_callbacks_to_teardown",
    "_parent_callback_ctx",
)

_OF_X = ("n_features_in_", "feature_names_in_")


class Given(NamedTuple):
    """What a fit was given.

    Attributes
    ----------
    X, y : array-like of n_samples rows
    sample_weight : array-like of shape (n_samples,) or None
    rows : ndarray of int or None
        Of these rows; ``None`` is all.
    """

    X: Any
    y: Any
    sample_weight: Any = None
    rows: np.ndarray | None = None

    def at(self, rows: np.ndarray) -> "Given":
        """Some of the rows."""
        return self._replace(rows=rows)

    def told(self) -> dict[str, Any]:
        """The same as callbacks are told it, when they ask for it."""
        metadata = None if self.sample_weight is None else self._metadata
        return {
            "X": lambda: self._part(self.X),
            "y": lambda: self._part(self.y),
            "metadata": metadata,
        }

    def _metadata(self) -> dict[str, Any]:
        return {"sample_weight": self._part(self.sample_weight)}

    def _part(self, of_rows: Any) -> Any:
        return of_rows if self.rows is None else _safe_indexing(of_rows, self.rows)


class Task:
    """A part of a fit that callbacks hear the begin and the end of.

    Parameters
    ----------
    estimator : estimator
        Whose task it is.
    context : sklearn.callback.CallbackContext
    given : Given
    """

    def __init__(self, estimator: Any, context: Any, given: Given) -> None:
        self.estimator, self.context, self.given = estimator, context, given

    def part(self, name: str, given: Given | None = None, **options: Any) -> "Task":
        """A task within this one; `options` are those of scikit-learn's contexts."""
        context = self.context.subcontext(name, **options)
        return Task(self.estimator, context, self.given if given is None else given)

    def begin(self) -> "Task":
        """Tell that it begins."""
        self.context.call_on_fit_task_begin(
            estimator=self.estimator, **self.given.told()
        )
        return self

    def end(self, found: Callable[[], dict[str, Any]] | None = None) -> bool:
        """Tell that it ends; whether a callback asks to stop.

        `found` gives what makes a fitted estimator of this one as it is.
        """
        return self.context.call_on_fit_task_end(
            estimator=self.estimator,
            **self.given.told(),
            reconstruction_attributes=found,
        )

    @contextmanager
    def passed_to(self, other: Any) -> Iterator[None]:
        """A block in which another estimator is fitted, whose fit is this task."""
        with self.context.propagate_callback_context(other):
            self.begin()
            yield


class Unheard:
    """A task, and its parts, that nobody wants to hear of."""

    def part(self, *_: Any, **__: Any) -> "Unheard":
        return self

    def begin(self) -> "Unheard":
        return self

    def end(self, *_: Any) -> bool:
        return False

    def passed_to(self, other: Any) -> AbstractContextManager[None]:
        return nullcontext()


def task_of(
    estimator: Any, given: Given, name: str = "fit", **options: Any
) -> Task | Unheard:
    """The whole of an estimator's fit, as a task."""
    if not getattr(estimator, "_skl_callbacks", None):
        return Unheard()
    context = estimator._init_callback_context(name, **options)
    return Task(estimator, context, given)


@with_callbacks
def tear_down(estimator: Any) -> None:
    """End what `task_of` has begun: scikit-learn's decorator does it."""


class Watch:
    """What a net in training tells of its epochs, and of its end."""

    def __init__(self, task: Task, found: Callable[[Any], dict[str, Any]]) -> None:
        self.task, self.found = task, found

    def begin_epoch(self) -> None:
        self.epoch = self.task.part("epoch").begin()

    def end_epoch(self, net: Any) -> bool:
        """Whether a callback asks to stop."""
        return self.epoch.end(functools.partial(self.found, net))

    def end(self, net: Any) -> None:
        self.task.end(functools.partial(self.found, net))


class WatchedMixin(CallbackSupportMixin):
    """An ensemble whose fits can be watched."""

    @contextmanager
    def _watched(
        self,
        net: Any,
        given: Given,
        found: Callable[[Any], dict[str, Any]],
        epochs: int | None = None,
    ) -> Iterator[None]:
        """A block that trains a net.

        Parameters
        ----------
        net : JointNet
        given : Given
        found : callable
            ``found(net)`` gives what a fit that ended now would have found.
        epochs : int or None
            Of a partial fit; ``None`` is a whole one.
        """
        name, n_epochs = "partial_fit", epochs
        if epochs is None:
            name, n_epochs = "fit", net.max_epochs
        try:
            task = task_of(self, given, name, max_subtasks=n_epochs).begin()
            if isinstance(task, Task):
                net.watch_ = Watch(task, found)
            yield
        finally:
            vars(net).pop("watch_", None)
            tear_down(self)

    def __copy__(self) -> Any:
        copied = type(self).__new__(type(self))
        if "_callback_fit_ctx" not in vars(self):
            copied.__setstate__(self.__getstate__())  # type: ignore[attr-defined]
            return copied
        # scikit-learn copies an estimator in the midst of its fit, to make a fitted one
        # of it. What an earlier fit has found is no part of that.
        for name, value in vars(self).items():
            is_found = name[-1] == "_" and name not in _OF_X
            if not is_found and name not in _WHILE_WATCHED:
                vars(copied)[name] = value
        return copied
