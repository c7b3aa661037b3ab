"""A stream of batches, and the ensembles that learn from it."""

import copy
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from sklearn_jointens.training._batches import ArrayPart, BatchSlicer
from sklearn_jointens.training._copies import net_with
from sklearn_jointens.training._folds import FoldSlicer
from sklearn_jointens.training._random import host_state, set_host_state


class Stream:
    """Batches of one training set, as one ensemble would draw them by itself.

    Ensembles that differ in lam alone share their stream. Those that learn from it at
    present are its `groups`.

    Parameters
    ----------
    net : JointNet
        Any one of the ensembles; it is not trained.
    dataset : ArrayPart
        The training set, with what its rows count. All streams that are trained at
        once have parts of one data set.
    y : ndarray of shape (n_samples,)
        Labels of the training set.
    seed : int
        Of the batches, and of what the ensembles draw.
    reseed : callable
        Seeds all generators.

    Attributes
    ----------
    datasets : dict
        What skorch tells callbacks of: "dataset_train" and "dataset_valid".
    iterator_train : BatchSlicer
    iterator_valid : BatchSlicer, FoldSlicer or None
    random_state : list of Tensor
        Where torch's generators stand before the first epoch.
    host_state : tuple
        Where NumPy's and Python's stand.
    """

    def __init__(
        self,
        net: Any,
        dataset: ArrayPart,
        y: Any,
        seed: int,
        reseed: Callable[[int], None],
    ) -> None:
        self.dataset, self.y = dataset, y
        self.groups: list[Group] = []
        self.batches: deque[Tensor] = deque()
        self.sizes: list[int] = []
        # A split that has a state of its own starts anew for every ensemble.
        split = copy.deepcopy(net.train_split)
        net = net_with(net, train_split=split, is_training_=True)
        reseed(seed)
        train, valid = net.get_split_datasets(dataset, y)
        self.random_state, self.host_state = random_state(net.device), host_state()
        self.datasets = {"dataset_train": train, "dataset_valid": valid}
        self.iterator_train: BatchSlicer = net.get_iterator(train, training=True)
        self.iterator_valid: Any = None if valid is None else net.get_iterator(valid)

    @property
    def largest_batch(self) -> int:
        """Rows of the largest batch, of training or validation."""
        iterators = [self.iterator_train, self.iterator_valid]
        return max(min(it.batch_size, it.n_samples) for it in iterators if it)

    def begin(self, nets: list[Any]) -> None:
        """Let these nets learn from the stream; what skorch does before an epoch."""
        self.groups = [Group(net, self) for net in nets]
        for net in nets:
            net.is_training_ = True
            net.epochs_ = net.max_epochs
            net.notify("on_train_begin", X=self.dataset, y=self.y)

    def begin_epoch(self) -> None:
        """Draw the batches of an epoch."""
        for group in self.groups:
            group.net.notify("on_epoch_begin", **self.datasets)
        self.batches.extend(self._drawn(self.iterator_train))
        self.sizes = [len(index) for index in self.batches]

    def valid_batches(self) -> dict[tuple[int, int], Tensor]:
        """Rows of the batches that the ensembles are validated on.

        By their fold, and their number within it; without folds, by 0 and number.
        """
        if isinstance(self.iterator_valid, FoldSlicer):
            return self.iterator_valid.parts
        return {(0, b): rows for b, rows in enumerate(self._drawn(self.iterator_valid))}

    def validated_on(self, fold: int) -> Tensor | None:
        """The members that are validated on a fold; None is all."""
        if isinstance(self.iterator_valid, FoldSlicer):
            return self.iterator_valid.members[fold]
        return None

    def _drawn(self, iterator: BatchSlicer) -> list[Tensor]:
        first, *others = self.groups
        with first.drawing():
            order = iterator.order()
        for group in others:
            group.random_state = list(first.random_state)
        if order is None:
            order = torch.arange(iterator.n_samples)
        order = order[: len(iterator) * iterator.batch_size]
        return list(order.to(self.dataset.index_device).split(iterator.batch_size))


class Group:
    """One ensemble among those that are trained at once.

    Parameters
    ----------
    net : JointNet
        Its callbacks and its history are the ensemble's own; its weights are filled in
        when somebody looks at them.
    stream : Stream
        Of its batches.

    Attributes
    ----------
    random_state, host_state : list of Tensor, tuple
        Where the generators would stand if the ensemble were trained alone.
    error : Exception or None
        Why its training failed.
    """

    def __init__(self, net: Any, stream: Stream) -> None:
        self.net, self.stream = net, stream
        self.random_state = list(stream.random_state)
        self.host_state = stream.host_state
        self.error: Exception | None = None

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw from the numbers that this ensemble would draw from if it were alone.

        Within `isolated_random_state`, which puts back what this leaves behind.
        """
        device = self.net.device
        torch.set_rng_state(self.random_state[0])
        for state in self.random_state[1:]:
            torch.cuda.set_rng_state(state, device)
        try:
            yield
        finally:
            self.random_state = random_state(device)

    @contextmanager
    def calling(self) -> Iterator[None]:
        """Call what may draw from NumPy's and Python's generators too."""
        set_host_state(self.host_state)
        with self.drawing():
            try:
                yield
            finally:
                self.host_state = host_state()


def random_state(device: str | torch.device) -> list[Tensor]:
    """The state of torch's generator, and of the device's where it has its own."""
    states = [torch.get_rng_state()]
    if torch.device(device).type == "cuda":
        states.append(torch.cuda.get_rng_state(device))
    return states
