"""What an epoch says of the members, gathered without reading it batch by batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_jointens.losses import Family, JointTerms
from sklearn_jointens.training._dominance import LastRows, effective_members


class EpochRecord:
    """Ensemble loss, member losses, diversity and accuracies, averaged over an epoch.

    Parameters
    ----------
    prefix : {"train", "valid"}
        Of the names in the history.
    family : Family or None, default=None
        Of the members, whose gains at the end of the epoch are measured with it;
        ``None`` is not to measure them.
    """

    # Names that a printed line leaves out: the loss beside them says the same, and a
    # warning tells of members.
    QUIET = [
        f"{prefix}_{name}"
        for prefix in ("train", "valid")
        for name in ("ensemble_loss", "member_loss", "effective_members")
    ]

    def __init__(self, prefix: str, family: Family | None = None) -> None:
        self.prefix = prefix
        self.family = family
        self.clear()

    def clear(self) -> None:
        """Forget the epoch."""
        self._batches: list[tuple[int, Tensor, Tensor, Tensor | None]] = []
        self._members: list[Tensor | None] = []
        self._averages: list[Tensor] | None = None
        self.last_rows = LastRows()
        self._gains: list[float] | None = None

    def add(self, terms: JointTerms, members: Tensor | None = None) -> None:
        """Take in a batch of one ensemble.

        Where only some `members` ran, all figures are theirs.
        """
        size, correct = terms.ensemble_output.shape[1], terms.member_correct
        self.add_means(
            size,
            terms.ensemble_losses[0],
            terms.member_losses[0],
            None if correct is None else correct[0].sum(1) / size,
            members,
        )

    def add_means(
        self,
        size: int,
        ensemble_loss: Tensor,
        member_losses: Tensor,
        member_accuracies: Tensor | None = None,
        members: Tensor | None = None,
    ) -> None:
        """Take in what is known of `size` rows; of members, (n_members,)."""
        self._batches.append((size, ensemble_loss, member_losses, member_accuracies))
        self._members.append(members)
        self._averages = None

    def _average(self) -> list[Tensor]:
        """Means over the batches weighted by their sizes, as skorch averages losses."""
        if self._averages is None:
            sizes, ensemble, *of_members = zip(*self._batches, strict=True)
            weight = torch.tensor(sizes, dtype=torch.float64)
            self._averages = [
                _mean(weight, ensemble),
                *(
                    self._mean_by_member(weight, column)
                    for column in of_members
                    if column[0] is not None
                ),
            ]
        return self._averages

    def _mean_by_member(self, weight: Tensor, column: Sequence[Tensor]) -> Tensor:
        """Each member's mean over the batches that it ran on."""
        members = [own for own in self._members if own is not None]
        if not members:
            return _mean(weight, column)
        n_members = 1 + max(int(own.max()) for own in members)
        total, rows = torch.zeros(2, n_members, dtype=torch.float64)
        for size, values, own in zip(weight, column, members, strict=True):
            total[own] += size * values.cpu().double()
            rows[own] += size
        return total / rows

    def gains(self) -> list[float] | None:
        """Each member's gain over the last rows, if that is asked for."""
        if self._gains is None and self.family is not None:
            self._gains = self.last_rows.gains(self.family).tolist()
        return self._gains

    def scalars(self) -> dict[str, float]:
        """Numbers by name in the history."""
        if not self._batches:
            return {}
        ensemble_loss, member_losses, *_ = self._average()
        member_loss = member_losses.mean()
        values: dict[str, Tensor | float] = {
            "ensemble_loss": ensemble_loss,
            "member_loss": member_loss,
            "diversity": member_loss - ensemble_loss,
        }
        gains = self.gains()
        if gains is not None:
            values["effective_members"] = effective_members(gains)
        return {f"{self.prefix}_{name}": float(v) for name, v in values.items()}

    def by_member(self) -> dict[str, list[float]]:
        """Lists with a number for each member, by name in the history."""
        if not self._batches:
            return {}
        names = ("member_losses", "member_accuracies")
        _, *of_members = self._average()
        lists = {
            f"{self.prefix}_{name}": values.tolist()
            for name, values in zip(names, of_members, strict=False)
        }
        gains = self.gains()
        if gains is not None:
            lists[f"{self.prefix}_member_gains"] = gains
        return lists


def _mean(weight: Tensor, values: Sequence[Tensor]) -> Tensor:
    stacked = torch.stack(list(values)).cpu().double()
    return torch.tensordot(weight / weight.sum(), stacked, 1)
