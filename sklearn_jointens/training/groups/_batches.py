"""Batches of several streams, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from sklearn_jointens.training._batches import to_device
from sklearn_jointens.training.groups._stream import Group


@dataclass(frozen=True)
class GroupedBatch:
    """What G ensembles see at once, each its own rows.

    Attributes
    ----------
    inputs : Tensor of shape (n_blocks, n_samples, ...), or list of (n_rows, ...)
        Rows of each block of equally many members: one for each stream where all have
        equally many ensembles, else one for each ensemble.
    y : Tensor of shape (n_groups, n_samples)
        Encoded targets, 0 where a stream has fewer rows than others.
    weight : Tensor of shape (n_groups, n_samples), \
(n_groups, n_members, n_samples) or None
        Of the rows; 0 where there is none.
    sizes : list of int
        How many rows each group has.
    """

    inputs: Any
    y: Tensor
    weight: Tensor | None
    sizes: list[int]


class Collator:
    """Puts batches of streams side by side for the groups that learn from them.

    Parameters
    ----------
    groups : sequence of Group
        Stream by stream.
    validation : bool, default=False
        Whether rows are weighted as in validation.
    """

    def __init__(self, groups: Sequence[Group], validation: bool = False) -> None:
        self.streams = list(dict.fromkeys(group.stream for group in groups))
        counts = [
            sum(group.stream is stream for group in groups) for stream in self.streams
        ]
        self._place = [self.streams.index(group.stream) for group in groups]
        self._shares = len(set(counts)) == 1
        self._dataset = self.streams[0].dataset
        device = self._dataset.device
        self._stream_of_group = torch.tensor(self._place, device=device)
        iterators: list[Any] = [
            stream.iterator_valid if validation else stream.iterator_train
            for stream in self.streams
        ]
        self._weights = [iterator.weight for iterator in iterators]

    def collate(self, indices: Sequence[Tensor]) -> GroupedBatch:
        """A batch of rows that have these places in the data set, one a stream."""
        sizes = [len(index) for index in indices]
        flat = torch.cat(list(indices))
        there = to_device(flat, self._dataset.device)
        X, y = self._dataset.rows(flat), self._dataset.y.index_select(0, there)
        is_even = len(set(sizes)) == 1
        weight = self._weight(there, sizes, is_even)
        if is_even:
            shape = (len(sizes), sizes[0])
            X, y = X.unflatten(0, shape), y.unflatten(0, shape)
            inputs = X if self._shares else X.index_select(0, self._stream_of_group)
        else:
            parts = X.split(sizes)
            y = pad_sequence(list(y.split(sizes)), batch_first=True)
            inputs = parts if self._shares else [parts[s] for s in self._place]
        return GroupedBatch(
            inputs,
            y.index_select(0, self._stream_of_group),
            None if weight is None else weight.index_select(0, self._stream_of_group),
            [sizes[s] for s in self._place],
        )

    def _weight(self, there: Tensor, sizes: list[int], is_even: bool) -> Tensor | None:
        if self._weights[0] is None and is_even:
            return None
        indices = there.split(sizes)
        if self._weights[0] is None:
            rows = [torch.ones(len(index), device=index.device) for index in indices]
        else:
            rows = [
                weight[..., index].movedim(-1, 0)
                for weight, index in zip(self._weights, indices, strict=True)
            ]
        return pad_sequence(rows, batch_first=True).movedim(1, -1)
