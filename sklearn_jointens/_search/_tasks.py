"""A search as scikit-learn's callbacks see it, by the names that GridSearchCV uses."""

from collections.abc import Sequence
from typing import Any

from sklearn_jointens._watching import Given, Task, Unheard, task_of


class SearchTasks:
    """The tasks of a search, the first of which begin here.

    Parameters
    ----------
    search : JointEnsembleSearch
    given : Given
        All rows.
    n_lams : int
    splits : sequence of Split

    Attributes
    ----------
    whole : Task or Unheard
    search : Task or Unheard
        All fits but the last.
    fits : list of list of (Task or Unheard)
        By lam and split. They are in no order: ensembles are trained side by side.
    """

    def __init__(
        self, search: Any, given: Given, n_lams: int, splits: Sequence[Any]
    ) -> None:
        n_parts = 1 if search.refit is False else 2
        self.whole = task_of(search, given, max_subtasks=n_parts).begin()
        self.search = self.whole.part(
            "search", max_subtasks=n_lams * len(splits), sequential_subtasks=False
        ).begin()
        self.fits: list[list[Task | Unheard]] = [
            [
                self.search.part(
                    "candidate-split-evaluation",
                    given.at(split.train),
                    task_id=i * len(splits) + s,
                )
                for s, split in enumerate(splits)
            ]
            for i in range(n_lams)
        ]

    def refit(self) -> Task | Unheard:
        """The fit of the chosen ensemble on all rows."""
        return self.whole.part("refit-with-best-params")
