"""What an ensemble has recorded of its training, epoch by epoch, as arrays."""

from typing import Any

import numpy as np

from sklearn_jointens.training import MemberFolds

_ROWS = {"train": "Training", "valid": "Validation"}


class RecordedEpochs:
    """The history of a fitted ensemble, of the rows that it trained or validated on.

    Parameters
    ----------
    reader : str
        Name of the function that reads, for messages.
    ensemble : JointEnsembleClassifier or JointEnsembleRegressor
    rows : {"train", "valid"} or None
        ``None`` is "valid" where there is something of it, else "train".

    Attributes
    ----------
    rows : {"train", "valid"}
    epochs : ndarray of shape (n_epochs,)
        Their numbers, from 1.

    Raises
    ------
    ValueError
        There is no history of such rows.
    """

    def __init__(self, reader: str, ensemble: Any, rows: str | None) -> None:
        self.ensemble = ensemble
        self.epochs = np.arange(1, len(ensemble.history_) + 1)
        there = [each for each in _ROWS if self._has(f"{each}_member_losses", ensemble)]
        self.rows = there[-1] if rows is None else rows
        if self.rows not in there:
            raise ValueError(
                f"The 'rows' parameter of {reader} must be one of {there}, which there "
                f"is a history of, or None. Got {rows!r} instead."
            )

    @staticmethod
    def _has(name: str, ensemble: Any) -> bool:
        return any(name in row for row in ensemble.history_)

    def of_ensemble(self, name: str) -> np.ndarray | None:
        """A number of each epoch, (n_epochs,); None if it is not recorded."""
        name = f"{self.rows}_{name}"
        if not self._has(name, self.ensemble):
            return None
        return np.array([row.get(name, np.nan) for row in self.ensemble.history_])

    def of_members(self, name: str) -> np.ndarray | None:
        """A number of each epoch and member, (n_epochs, n_members), or None.

        NaN before a member was there.
        """
        name = f"{self.rows}_{name}"
        if not self._has(name, self.ensemble):
            return None
        of_epochs = [row.get(name, []) for row in self.ensemble.history_]
        values = np.full((len(of_epochs), max(map(len, of_epochs))), np.nan)
        for epoch, of_members in enumerate(of_epochs):
            values[epoch, : len(of_members)] = of_members
        return values

    @property
    def best_epoch(self) -> int | None:
        """The epoch whose weights were restored; None where the last ones stayed."""
        best = self.ensemble.best_epoch_
        return best if best < self.ensemble.n_iter_ else None

    @property
    def rows_name(self) -> str:
        """Of the rows, as the first word of a label."""
        return _ROWS[self.rows]

    @property
    def ensemble_name(self) -> str:
        """What to call the ensemble in a legend."""
        train_split = self.ensemble.net_.train_split
        if self.rows == "valid" and isinstance(train_split, MemberFolds):
            return "Ensemble (out of fold)"
        return "Ensemble"
