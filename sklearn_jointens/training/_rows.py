"""What rows count for the members, which travels with them from data set to batch."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils.data import default_collate

from sklearn_jointens.training._batches import (
    AllRows,
    ArrayDataset,
    Batch,
    to_device,
    unwrap_subset,
)
from sklearn_jointens.training._folds import Folds


class MemberRows(NamedTuple):
    """Which rows the members learn from, and which they are validated on.

    Attributes
    ----------
    weight : ndarray of shape (n_samples,) or None
        Of the rows, for all members.
    bags : ndarray of shape (n_members, n_samples), uint8, or None
        How often each member learns from each row. None where each learns from every
        row that is not held out from all.
    folds : Folds or None
        Where each member is validated on a fold of its own.
    """

    weight: np.ndarray | None = None
    bags: np.ndarray | None = None
    folds: Folds | None = None

    def counts(self, training: bool) -> np.ndarray | None:
        """Weights (n_samples,), or in training also (n_members, n_samples)."""
        if self.bags is None or not training:
            return self.weight
        return self.bags if self.weight is None else self.bags * self.weight

    def given_to(self, dataset: Any) -> Any:
        """The data set of these rows, which holds them from now on."""
        if not isinstance(dataset, ArrayDataset):
            dataset = _Weighed(dataset)
        dataset.member_rows = self
        return dataset


class _Weighed(AllRows):
    """A user's data set that holds what its rows count."""

    member_rows: MemberRows


def rows_in(dataset: Any) -> MemberRows:
    """What the rows count of a data set, or of the one that it is a Subset of."""
    base, _ = unwrap_subset(dataset)
    held = isinstance(base, ArrayDataset | _Weighed) and base.member_rows
    return held or MemberRows()


class _Numbered(AllRows):
    """A user's data set whose items also say which row they are."""

    def __getitem__(self, i: int) -> tuple[Any, int]:
        return self.dataset[i], i

    def __getitems__(self, index: list[int]) -> list[tuple[Any, int]]:
        return [self[i] for i in index]


class WeightedLoader:
    """A user's own loader, whose batches are given the weights of their rows.

    Parameters
    ----------
    build : callable
        Makes the loader from a data set.
    dataset : torch Dataset
    weight : Tensor of shape (n_samples,) or (n_members, n_samples)
        Weights of all rows of the data set under any Subset.
    """

    def __init__(self, build: Any, dataset: Any, weight: Tensor) -> None:
        _, index = unwrap_subset(dataset)
        self.loader = build(_Numbered(dataset))
        collate = getattr(self.loader, "collate_fn", default_collate)
        if collate is not default_collate:
            raise ValueError(
                "The 'collate_fn' of the member's iterators must be torch's own when "
                "rows have weights (sample_weight, class_weight, bootstrap). "
                f"Got {collate!r} instead."
            )
        self.weight = weight if index is None else weight[..., index.to(weight.device)]

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Batch]:
        for batch in self.loader:
            if not _is_numbered(batch):
                raise ValueError(
                    "The 'iterator_train' and 'iterator_valid' parameters of the "
                    "member must leave batches as they are when rows have weights "
                    "(sample_weight, class_weight, bootstrap); change rows in a "
                    f"'dataset'. Got {type(self.loader).__name__} instead."
                )
            (X, y), i = batch
            yield Batch(X, y, self.weight[..., to_device(i, self.weight.device)])


def _is_numbered(batch: Any) -> bool:
    """Whether a batch is numbered items, put together and otherwise as they were."""
    try:
        (_, y), i = batch
    except (TypeError, ValueError):
        return False
    return isinstance(i, Tensor) and i.shape == (len(y),)
