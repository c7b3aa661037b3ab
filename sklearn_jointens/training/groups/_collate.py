"""Batches of several streams, side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
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
        self._shares = len(set(counts)) == 1
        self._stream_of = [self.streams.index(group.stream) for group in groups]
        # The rows of one stream after another; X is that of all.
        datasets = [stream.dataset for stream in self.streams]
        starts = list(accumulate(map(len, datasets), initial=0))
        self._starts = torch.tensor(starts[:-1])
        self._shifts: dict[tuple[int, ...], Tensor] = {}
        self._whole = datasets[0].whole
        self._places = torch.cat([dataset.places for dataset in datasets])
        self._y = torch.cat([dataset.y for dataset in datasets])
        self._stream_of_group = torch.tensor(self._stream_of, device=self._y.device)
        iterators: list[Any] = [
            stream.iterator_valid if validation else stream.iterator_train
            for stream in self.streams
        ]
        weights = [iterator.weight for iterator in iterators]
        self._weight: Tensor | None = None
        if weights[0] is not None:
            self._weight = torch.cat(weights, -1).movedim(-1, 0).contiguous()

    def collate(self, indices: Sequence[Tensor]) -> GroupedBatch:
        """A batch of the rows that have these places in their streams, one a stream."""
        sizes = [len(index) for index in indices]
        index = torch.cat(list(indices)) + self._shift(tuple(sizes))
        there = to_device(index, self._whole.device)
        weight = None
        if self._weight is not None:
            weight = self._weight.index_select(0, there)
        elif len(set(sizes)) > 1:
            weight = torch.ones(len(index), device=there.device)
        if weight is not None:
            weight = _side_by_side(weight, sizes).movedim(1, -1)
            weight = weight.index_select(0, self._stream_of_group)
        y = _side_by_side(self._y.index_select(0, there), sizes)
        return GroupedBatch(
            self._inputs(self._places.index_select(0, index), sizes),
            y.index_select(0, self._stream_of_group),
            weight,
            [sizes[s] for s in self._stream_of],
        )

    def _shift(self, sizes: tuple[int, ...]) -> Tensor:
        """Where the streams of a batch's rows begin; most batches are of like sizes."""
        if sizes not in self._shifts:
            shift = self._starts.repeat_interleave(torch.tensor(sizes))
            self._shifts[sizes] = shift.to(self._places.device)
        return self._shifts[sizes]

    def _inputs(self, places: Tensor, sizes: list[int]) -> Any:
        X = self._whole.rows(places)
        if len(set(sizes)) == 1:
            X = X.unflatten(0, (len(sizes), sizes[0]))
            return X if self._shares else X.index_select(0, self._stream_of_group)
        parts = X.split(sizes)
        return parts if self._shares else [parts[s] for s in self._stream_of]


def _side_by_side(rows: Tensor, sizes: list[int]) -> Tensor:
    """Rows of streams as (n_streams, n_samples, ...), 0 where there are fewer."""
    if len(set(sizes)) == 1:
        return rows.unflatten(0, (len(sizes), sizes[0]))
    return pad_sequence(rows.split(sizes), batch_first=True)
