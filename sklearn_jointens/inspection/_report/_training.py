"""Sections on the training: how members learned, and who did the work."""

from typing import Any

import numpy as np

from sklearn_jointens.inspection._history import RecordedEpochs
from sklearn_jointens.inspection._loss_decomposition_display import (
    LossDecompositionDisplay,
)
from sklearn_jointens.inspection._member_curves_display import MemberCurvesDisplay
from sklearn_jointens.inspection._report._html import (
    Section,
    paragraph,
    picture,
    table,
)
from sklearn_jointens.inspection._report._looks import DARK
from sklearn_jointens.inspection._report._subject import Subject

_MOST_LISTED = 5
_JUST_ABOVE = {"textcoords": "offset points", "fontsize": 9}


def learning(subject: Subject) -> Section | None:
    """Training, epoch by epoch."""
    ensemble = subject.ensemble
    if subject.history is None:
        return None
    history = RecordedEpochs("report", ensemble, None)
    of_members = of_ensemble = f"{history.rows_name.lower()} rows"
    if history.is_out_of_fold:
        of_members = "the validation rows of each"
        of_ensemble = "training rows: no validation row is held out by all"
    best = (
        f" The best member is the best of epoch {ensemble.best_epoch_} on those rows; "
        "on the rows of this page another may be."
    )
    return Section(
        "learning",
        "Learning",
        "Members' curves should fall together. Where one falls and the others stay "
        "where they began, it dominates: lower lam, or take smaller members. Diversity "
        "that grows while the ensemble gets no better is of no use.",
        [
            picture(
                lambda ax: MemberCurvesDisplay.from_estimator(ensemble, ax=ax),
                "A curve for each member against the epoch.",
                f"Each member, epoch by epoch, on {of_members}."
                + best * (subject.n_members > 1),
            ),
            picture(
                lambda ax: LossDecompositionDisplay.from_estimator(ensemble, ax=ax),
                "Ensemble loss, mean member loss and diversity against the epoch.",
                f"The loss and its parts, epoch by epoch, on {of_ensemble}.",
            ),
        ],
    )


def dominance(subject: Subject) -> Section | None:
    """Whether one member does the work of all."""
    history, effective = subject.history, subject.effective_members
    if history is None or effective is None or subject.n_members < 2:
        return None
    n_members, epoch = subject.n_members, subject.ensemble.best_epoch_

    def draw(ax: Any) -> None:
        ax.plot(history.epochs, effective, color=DARK, marker=".")
        for level, name in ((n_members, "All members alike"), (1, "One does all")):
            ax.axhline(level, color="black", linestyle="--", linewidth=1)
            ax.annotate(name, (history.epochs[0], level), (0, 4), **_JUST_ABOVE)
        ax.set(
            xlabel="Epoch",
            ylabel="Effective members",
            xlim=(history.epochs[0] - 0.5, history.epochs[-1] + 0.5),
            ylim=(0, 1.15 * n_members),
        )
        ax.xaxis.get_major_locator().set_params(integer=True)

    parts = []
    if np.isfinite(effective).any():
        parts.append(
            picture(
                draw,
                f"Effective members against the epoch, of {n_members}.",
                "Effective members, epoch by epoch, on its last training rows; only "
                "where the ensemble knows something of the targets.",
            )
        )
    if np.isfinite(effective[epoch - 1]):
        parts.append(_shares(history.of_members("member_gains")[epoch - 1], epoch))
    else:
        parts.append(
            paragraph(
                f"In epoch {epoch}, whose weights are used, the ensemble knows too "
                "little of the targets to say who does the work. Train it longer, or "
                "scale y."
            )
        )
    return Section(
        "dominance",
        "Dominance",
        "Effective members: how many do the work, by what each knows of the targets. "
        "As many as there are when all know as much, 1 when one knows everything. Near "
        "1, lower lam or take smaller members.",
        parts,
    )


def _shares(gains: np.ndarray, epoch: int) -> str:
    known = np.clip(gains, 0, None)
    shares = known / known.sum()
    strongest = np.argsort(-shares, kind="stable")[:_MOST_LISTED]
    n_members = len(gains)
    who = (
        "Who"
        if len(strongest) == n_members
        else f"The {_MOST_LISTED} of {n_members} members who"
    )
    return table(
        f"{who} knew most of the targets in epoch {epoch}",
        ["Member", "Share of what all know"],
        [(str(j), float(shares[j])) for j in strongest],
    )
