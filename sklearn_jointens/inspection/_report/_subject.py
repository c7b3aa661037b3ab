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
from sklearn_jointens.inspection._report._html import without_rounding
from sklearn_jointens.training._dominance import LEARNED


class Subject:
    """A fitted ensemble and the rows that it is judged on.

    Parameters
    ----------
    reading : Reading
        With targets.
    X : array-like or sparse matrix of shape (n_samples, ...)
        The rows of the reading as they came to the ensemble, under the names that it
        knows its features by.
    scoring : str, callable or None
    random_state : int, RandomState instance or None
        Draws the members that are dropped.
    training : tuple of (X, y), or None
        What it was fitted on.
    independent : object
        As `collusion_report` takes it.
    max_loss : float
        As `prune_members` takes it.
    origin : str
        What the ensemble is called, and what it came in.
    """

    def __init__(
        self,
        reading: Reading,
        X: Any,
        scoring: Any,
        random_state: Any,
        training: tuple[Any, Any] | None,
        independent: Any,
        max_loss: float,
        origin: str,
    ) -> None:
        self.reading = reading
        self.ensemble = reading.ensemble
        self.X, self.y = X, reading.y
        self.sample_weight = reading.sample_weight
        self.scoring = scoring
        self.random_state = random_state
        self.training = training
        self.independent = independent
        self.max_loss = max_loss
        self.origin = origin
        self.n_members = reading.n_members
        self.has_classes = is_classifier(self.ensemble)
        self.has_labels = self.has_classes and self.y.ndim > 1
        self._judge = Judge(reading, scoring)
        self.counts_whole_rows = self.has_labels and self._judge.name == "accuracy"
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
        return self._judge.score(natural), self._judge.scores(natural)

    @property
    def best_member(self) -> int:
        """The member with the best score on these rows."""
        return int(np.nan_to_num(self.scores[1], nan=-np.inf).argmax())

    @property
    def mean_score(self) -> float:
        """Of the members that have one."""
        of_members = self.scores[1]
        known = of_members[np.isfinite(of_members)]
        return float(known.mean()) if len(known) else float("nan")

    @cached_property
    def history(self) -> RecordedEpochs | None:
        """Of the training rows, if there is any."""
        if not any("train_member_losses" in row for row in self.ensemble.history_):
            return None
        return RecordedEpochs("report", self.ensemble, "train")

    @property
    def effective_members(self) -> np.ndarray | None:
        """How many members did the work in each epoch, if that is recorded.

        NaN where the ensemble knew too little of the targets to say.
        """
        if self.history is None:
            return None
        effective = self.history.of_ensemble("effective_members")
        gains = self.history.of_members("member_gains")
        if effective is None or gains is None:
            return None
        of_ensemble = np.ma.masked_invalid(gains).mean(axis=1).filled(0)
        return np.where(of_ensemble >= LEARNED, effective, np.nan)

    @cached_property
    def losses(self) -> Bunch:
        """As `diversity_decomposition` returns them."""
        found = diversity_decomposition(self.ensemble, **self.rows)
        found.diversity = without_rounding(found.diversity, found.member_loss)
        return found

    @cached_property
    def contributions(self) -> Bunch:
        """As `member_contributions` returns them."""
        return member_contributions(self.ensemble, **self.scored_rows)
