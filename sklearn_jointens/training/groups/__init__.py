"""Training many joint ensembles at once: a grid of lam on every fold of the data."""

from sklearn_jointens.training.groups._batchable import batches_alike, why_one_by_one
from sklearn_jointens.training.groups._memory import free_memory, groups_within
from sklearn_jointens.training.groups._stream import Stream
from sklearn_jointens.training.groups._training import search_bar, train_groups

__all__ = [
    "Stream",
    "batches_alike",
    "free_memory",
    "groups_within",
    "search_bar",
    "train_groups",
    "why_one_by_one",
]
