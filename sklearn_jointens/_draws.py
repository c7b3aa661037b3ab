"""Which rows each member learns from, and which it is validated on."""

from typing import Any, NamedTuple

import numpy as np

from sklearn_jointens.training import MemberFolds
from sklearn_jointens.training._rows import MemberRows


class MemberDraws(NamedTuple):
    """What was drawn for the members, and holds for as long as they are trained.

    A member that went on with another bag, or another fold, would have seen the rows
    that it is scored on.

    Attributes
    ----------
    seeds : ndarray of shape (n_members,)
        Of the bootstrap samples.
    seed_of_folds : int
    places : ndarray of shape (n_members,)
        A member is validated on the fold of its place, modulo the number of folds.
    n_drawn : int
        How many seeds were ever drawn, those of members that were dropped included.
    """

    seeds: np.ndarray
    seed_of_folds: int
    places: np.ndarray
    n_drawn: int

    @classmethod
    def of(
        cls, seeds: np.ndarray, earlier: "MemberDraws | None" = None
    ) -> "MemberDraws":
        """Draws of members with these seeds, or of new ones besides earlier ones.

        The first `n_drawn` of the seeds are then as good as taken: a new member with
        the seed of another would be its copy.
        """
        if earlier is None:
            return cls(seeds, int(seeds[0]), np.arange(len(seeds)), len(seeds))
        places = np.arange(earlier.n_drawn, len(seeds))
        return cls(
            np.concatenate([earlier.seeds, seeds[places]]),
            earlier.seed_of_folds,
            np.concatenate([earlier.places, places]),
            len(seeds),
        )

    def only(self, kept: np.ndarray) -> "MemberDraws":
        """Those of some of the members."""
        return self._replace(seeds=self.seeds[kept], places=self.places[kept])


def rows_of_members(
    ensemble: Any,
    net: Any,
    y: np.ndarray,
    weight: np.ndarray | None,
    draws: MemberDraws,
) -> MemberRows:
    """Draw bootstrap samples and folds.

    Parameters
    ----------
    ensemble : JointEnsembleClassifier
    net : skorch classifier
        With the `train_split`.
    y : ndarray of shape (n_samples, ...)
    weight : ndarray of shape (n_samples,) or None
    draws : MemberDraws
    """
    bags = bootstrap_counts(draws.seeds, len(y)) if ensemble.bootstrap else None
    folds = None
    if isinstance(net.train_split, MemberFolds):
        folds = net.train_split.folds(y, draws.places, draws.seed_of_folds)
    if folds is not None:
        bags = folds.counts if bags is None else bags * folds.counts
    return MemberRows(weight, bags, folds)


def bootstrap_counts(member_seeds: np.ndarray, n_samples: int) -> np.ndarray:
    """How often each member draws each row, uint8 (n_members, n_samples)."""
    counts = np.empty((len(member_seeds), n_samples), dtype=np.uint8)
    for j, seed in enumerate(member_seeds):
        drawn = np.random.RandomState(seed).randint(n_samples, size=n_samples)
        counts[j] = np.bincount(drawn, minlength=n_samples)
    return counts
