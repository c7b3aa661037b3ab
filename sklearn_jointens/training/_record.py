"""What an epoch says of the members, gathered without reading it batch by batch."""

from collections.abc import Sequence

import torch
from torch import Tensor

from sklearn_jointens.losses import JointTerms


class EpochRecord:
    """Ensemble loss, member losses, diversity and accuracies, averaged over an epoch.

    Parameters
    ----------
    prefix : {"train", "valid"}
        Of the names in the history.
    """

    # Names that a printed line leaves out: the loss beside them says the same.
    QUIET = [
        f"{prefix}_{name}"
        for prefix in ("train", "valid")
        for name in ("ensemble_loss", "member_loss")
    ]

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.clear()

    def clear(self) -> None:
        """Forget the epoch."""
        self._batches: list[tuple[int, Tensor, Tensor, Tensor]] = []
        self._members: list[Tensor | None] = []
        self._averages: list[Tensor] | None = None

    def add(
        self, terms: JointTerms, correct: Tensor, members: Tensor | None = None
    ) -> None:
        """Take in a batch; `correct` is bool of shape (n_members, n_samples).

        Where only some `members` ran, all figures are theirs.
        """
        size = correct.shape[1]
        accuracies = correct.sum(1) / size
        self.add_means(
            size, terms.ensemble_loss, terms.member_losses, accuracies, members
        )

    def add_means(
        self,
        size: int,
        ensemble_loss: Tensor,
        member_losses: Tensor,
        member_accuracies: Tensor,
        members: Tensor | None = None,
    ) -> None:
        """Take in what is known of `size` rows; the last two are (n_members,)."""
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
                *(self._mean_by_member(weight, column) for column in of_members),
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

    def scalars(self) -> dict[str, float]:
        """Numbers by name in the history."""
        if not self._batches:
            return {}
        ensemble_loss, member_losses, _ = self._average()
        member_loss = member_losses.mean()
        values = {
            "ensemble_loss": ensemble_loss,
            "member_loss": member_loss,
            "diversity": member_loss - ensemble_loss,
        }
        return {f"{self.prefix}_{name}": float(v) for name, v in values.items()}

    def by_member(self) -> dict[str, list[float]]:
        """Lists with a number for each member, by name in the history."""
        if not self._batches:
            return {}
        _, member_losses, member_accuracies = self._average()
        return {
            f"{self.prefix}_member_losses": member_losses.tolist(),
            f"{self.prefix}_member_accuracies": member_accuracies.tolist(),
        }


def _mean(weight: Tensor, values: Sequence[Tensor]) -> Tensor:
    stacked = torch.stack(list(values)).cpu().double()
    return torch.tensordot(weight / weight.sum(), stacked, 1)
