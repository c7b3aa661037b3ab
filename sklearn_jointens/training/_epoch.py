"""One epoch of a joint fit, in skorch's steps."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from skorch.dataset import get_len, unpack_data
from torch import Tensor

from sklearn_jointens.training._interrupts import is_interrupt


class Step(NamedTuple):
    """A step that is being taken.

    Attributes
    ----------
    weight : Tensor of shape (n_samples,) or (n_members, n_samples), or None
        Of the rows of its batch.
    found : dict
        What the loss adds to what skorch's step returns.
    """

    weight: Tensor | None
    found: dict[str, Any]


def run_without_waiting(
    net: Any, iterator: Any, training: bool, prefix: str, step_fn: Any, **params: Any
) -> None:
    """skorch's epoch, which reads the losses once at its end.

    Reading a loss waits for the device, which would then idle at every batch.
    """
    name, losses = f"{prefix}_loss", []
    try:
        for batch in iterator:
            net.notify("on_batch_begin", batch=batch, training=training)
            step = step_fn(batch, **params)
            losses.append(step["loss"].detach())
            # A callback that looks may wait for it.
            net.history.record_batch(name, losses[-1])
            X, _ = unpack_data(batch)
            net.history.record_batch(f"{prefix}_batch_size", get_len(X))
            net.notify("on_batch_end", batch=batch, training=training, **step)
    finally:
        values = torch.stack(losses).tolist() if losses else []
        rows = (row for row in net.history[-1]["batches"] if name in row)
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    net.history.record(f"{prefix}_batch_count", len(losses))


def end_epoch(net: Any, notify: Callable[[], None]) -> None:
    """What comes at the end of an epoch: callbacks, the history, who watches.

    Parameters
    ----------
    net : JointNet
    notify : callable
        Tells skorch's callbacks.

    Raises
    ------
    KeyboardInterrupt
        A callback stops the training, or Ctrl-C came.
    """
    stop: KeyboardInterrupt | None = None
    try:
        notify()
    except KeyboardInterrupt as error:
        stop = error
    finally:
        # After the callbacks, which log every value they find and expect numbers; and
        # also when one of them stops the training.
        for record in net.records_.values():
            for name, values in record.by_member().items():
                net.history.record(name, values)
    is_over = stop is None or not is_interrupt(stop)
    if is_over and net.watch_ is not None and net.watch_.end_epoch(net):
        stop = stop or KeyboardInterrupt()
    if stop is not None:
        raise stop


@contextmanager
def lone_rows_explained(batch_size: int) -> Iterator[None]:
    """A block whose error of torch about a batch of one row says what to do."""
    try:
        yield
    except ValueError as error:
        if "more than 1 value per channel" not in str(error):
            raise
        raise ValueError(
            "The 'batch_size' parameter of the member must not leave a batch of "
            "one row, which batch normalization cannot train on; use another, or "
            f"iterator_train__drop_last=True. Got {batch_size} instead."
        ) from error
