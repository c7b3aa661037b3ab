"""What a report is of, and what several of its sections need."""

from functools import cached_property
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import Bunch

from sklearn_jointens.inspection._contributions import member_contributions
from sklearn_jointens.inspection._decomposition import diversity_decomposition
from sklearn_jointens.inspection._history import RecordedEpochs
from sklearn_jointens.inspection._judging import Judge
from sklearn_jointens.inspection._lam_curve import _label
from sklearn_jointens.inspection._reading import Reading


class Subject:
    """A fitted ensemble and the rows that it is judged on.

    Parameters
    ----------
    reading : Reading
        With targets.
    scoring : str, callable or None
    random_state : int, RandomState instance or None
        Draws the members that are dropped.
    training : tuple of (X, y), or None
        What it was fitted on.
    independent : object
        As `collusion_report` takes it.
    """

    def __init__(
        self,
        reading: Reading,
        scoring: Any,
        random_state: Any,
        training: tuple[Any, Any] | None,
        independent: Any,
    ) -> None:
        self.reading = reading
        self.ensemble = reading.ensemble
        self.X, self.y = reading.X, reading.y
        self.sample_weight = reading.sample_weight
        self.scoring = scoring
        self.random_state = random_state
        self.training = training
        self.independent = independent
        self.n_members = reading.n_members
        self.has_classes = is_classifier(self.ensemble)
        self._judge = Judge(reading, scoring)
        self.score_name = _label(self._judge.name, negate=False)

    @property
    def score_in_text(self) -> str:
        """Its name inside a sentence."""
        name = self.score_name
        return name.lower() if name[1:].islower() else name

    @property
    def rows(self) -> dict[str, Any]:
        """Arguments of the functions that look at rows with targets."""
        return {"X": self.X, "y": self.y, "sample_weight": self.sample_weight}

    @property
    def scored_rows(self) -> dict[str, Any]:
        """The same with the scoring."""
        return {**self.rows, "scoring": self.scoring}

    @cached_property
    def scores(self) -> tuple[float, np.ndarray]:
        """Of the ensemble, and of each member."""
        natural = self.reading.natural()
        (score,) = self._judge.scores(natural.mean(0, keepdim=True))
        return float(score), self._judge.scores(natural)

    @cached_property
    def history(self) -> RecordedEpochs | None:
        """Of the training rows, if there is any."""
        if not any("train_member_losses" in row for row in self.ensemble.history_):
            return None
        return RecordedEpochs("report", self.ensemble, "train")

    @property
    def effective_members(self) -> np.ndarray | None:
        """How many members did the work in each epoch, if that is recorded."""
        if self.history is None:
            return None
        return self.history.of_ensemble("effective_members")

    @cached_property
    def losses(self) -> Bunch:
        """As `diversity_decomposition` returns them."""
        return diversity_decomposition(self.ensemble, **self.rows)

    @cached_property
    def contributions(self) -> Bunch:
        """As `member_contributions` returns them."""
        return member_contributions(self.ensemble, **self.scored_rows)
