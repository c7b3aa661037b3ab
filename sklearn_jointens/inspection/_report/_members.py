"""Sections on the members: each by itself, how they learned, who is needed."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_jointens.inspection._collusion import collusion_report
from sklearn_jointens.inspection._disagreement import pairwise_disagreement
from sklearn_jointens.inspection._diversity_map_display import DiversityMapDisplay
from sklearn_jointens.inspection._loss_decomposition_display import (
    LossDecompositionDisplay,
)
from sklearn_jointens.inspection._member_curves_display import MemberCurvesDisplay
from sklearn_jointens.inspection._pruning import prune_members
from sklearn_jointens.inspection._report._html import (
    Section,
    change,
    picture,
    table,
)
from sklearn_jointens.inspection._report._looks import BRIGHT, DARK, GREY
from sklearn_jointens.inspection._report._subject import Subject
from sklearn_jointens.inspection._robustness import robustness_curve
from sklearn_jointens.inspection._robustness_display import RobustnessCurveDisplay

# Of more than twice as many members, the best and the weakest are listed.
_MOST_LISTED = 5

_MAX_LOSS = 0.005
_JUST_ABOVE = {"textcoords": "offset points", "fontsize": 9}


def members(subject: Subject) -> Section | None:
    """How good members are, and what each gives."""
    if subject.n_members < 2:
        return None
    score, of_members = subject.scores
    name = subject.score_name
    given = subject.contributions.contributions
    order = np.argsort(-of_members, kind="stable")
    rows = [(str(j), float(of_members[j]), change(float(given[j]))) for j in order]
    head = ["Member", f"{name} alone", "Gives"]
    if len(rows) <= 2 * _MOST_LISTED:
        tables = table("All members, the best first", head, rows)
    else:
        tables = table("The best members", head, rows[:_MOST_LISTED])
        tables += table("The weakest members", head, rows[-_MOST_LISTED:])

    def draw(ax: Any) -> None:
        mean = of_members.mean()
        ax.hist(of_members, bins=min(30, max(8, len(of_members) // 4)), color=GREY)
        ax.axvline(score, color=DARK, linewidth=2.4, label=f"Ensemble ({score:.4g})")
        label = f"Mean member ({mean:.4g})"
        ax.axvline(mean, color=BRIGHT, linestyle="--", linewidth=1.6, label=label)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel=name, ylabel="Members")
        ax.legend(loc="best")

    drawn = picture(
        draw,
        f"Histogram of the members by {subject.score_in_text}: from "
        f"{of_members.min():.4g} to {of_members.max():.4g}. The ensemble has "
        f"{score:.4g}.",
        f"Members by {subject.score_in_text}.",
    )
    return Section(
        "members",
        "Members",
        "With a small lam, members are about equally good. Where they are far below "
        "the ensemble, they work only together; where one is far above the others, it "
        "dominates. What a member gives is the score of all less that of all others, "
        "and may be negative.",
        [drawn, f"<div>{tables}</div>"],
    )


def learning(subject: Subject) -> Section | None:
    """Training, epoch by epoch."""
    ensemble = subject.ensemble
    if subject.history is None:
        return None
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
                "Each member, epoch by epoch.",
            ),
            picture(
                lambda ax: LossDecompositionDisplay.from_estimator(ensemble, ax=ax),
                "Ensemble loss, mean member loss and diversity against the epoch.",
                "The loss and its parts, epoch by epoch.",
            ),
        ],
    )


def dominance(subject: Subject) -> Section | None:
    """Whether one member does the work of all."""
    history, effective = subject.history, subject.effective_members
    if history is None or effective is None or subject.n_members < 2:
        return None
    n_members, epoch = subject.n_members, subject.ensemble.best_epoch_
    known = np.clip(history.of_members("member_gains")[epoch - 1], 0, None)
    shares = known / known.sum() if known.any() else known
    strongest = np.argsort(-shares, kind="stable")[:_MOST_LISTED]

    def draw(ax: Any) -> None:
        ax.plot(history.epochs, effective, color=DARK, marker=".")
        for level, name in ((n_members, "All members alike"), (1, "One does all")):
            ax.axhline(level, color="black", linestyle="--", linewidth=1)
            ax.annotate(name, (history.epochs[0], level), (0, 4), **_JUST_ABOVE)
        ax.set(xlabel="Epoch", ylabel="Effective members", ylim=(0, 1.15 * n_members))
        ax.xaxis.get_major_locator().set_params(integer=True)

    return Section(
        "dominance",
        "Dominance",
        "How many members do the work, by what each knows of the targets: as many as "
        "there are when all know as much, 1 when one knows everything. Near 1, lower "
        "lam or take smaller members.",
        [
            picture(
                draw,
                f"Effective members against the epoch: {effective[epoch - 1]:.4g} of "
                f"{n_members} in epoch {epoch}.",
                "Effective members, epoch by epoch, on its last training rows.",
            ),
            table(
                f"Who knew most of the targets in epoch {epoch}",
                ["Member", "Share of what all know"],
                [(str(j), float(shares[j])) for j in strongest],
            ),
        ],
    )


def robustness(subject: Subject) -> Section | None:
    """The score with members dropped."""
    if subject.n_members < 2:
        return None
    curve = robustness_curve(
        subject.ensemble, **subject.scored_rows, random_state=subject.random_state
    )
    n_members, name = subject.n_members, subject.score_name
    half = int(np.abs(curve.n_dropped - n_members / 2).argmin())
    rows = [
        (f"{n_dropped} of {n_members}", float(scores.mean()), _deviation(scores))
        for n_dropped, scores in (
            (curve.n_dropped[at], curve.scores[at])
            for at in dict.fromkeys([0, half // 2, half, -1])
        )
    ]
    return Section(
        "robustness",
        "With members dropped",
        "A curve that stays level means that members can be spared, also by accident. "
        "One that falls at once means that they lean on each other.",
        [
            picture(
                lambda ax: RobustnessCurveDisplay.from_curve(curve, ax=ax),
                f"{name} against the share of members dropped, from {curve.score:.4g} "
                f"with all of them to {rows[-1][1]:.4g} with one left.",
                "Members are dropped at random, others for each row. The band is one "
                "standard deviation over repeats.",
            ),
            table("With members dropped", ["Dropped", name, "Deviation"], rows),
        ],
    )


def diversity(subject: Subject) -> Section | None:
    """Who differs from whom, and whether members collude."""
    if subject.n_members < 2:
        return None
    found = pairwise_disagreement(subject.ensemble, subject.X)
    pairs = found[np.triu_indices(subject.n_members, 1)]
    what, name = "Root mean squared difference of two members", "Difference"
    if subject.has_classes:
        of = "rows" if subject.y.ndim == 1 else "rows and labels"
        what, name = f"Share of {of} on which two members differ", "Disagreement"
    parts = [
        picture(
            lambda ax: DiversityMapDisplay(disagreement=found, name=name).plot(ax=ax),
            f"{what}: from {pairs.min():.4g} to {pairs.max():.4g}, {pairs.mean():.4g} "
            "in the mean.",
            f"{what}.",
            of_pixels=True,
        )
    ]
    if subject.training is not None:
        parts.append(_collusion(subject))
    return Section(
        "diversity",
        "Diversity",
        "An even map is that of members of one kind. Blocks are groups that say the "
        "same; a bright line is a member that goes its own way. Useful diversity is as "
        "large on new rows as on those of training.",
        parts,
    )


def pruning(subject: Subject) -> Section | None:
    """How many members are enough."""
    if subject.n_members < 2:
        return None
    found = prune_members(subject.ensemble, **subject.scored_rows, max_loss=_MAX_LOSS)
    name, n_kept = subject.score_name, len(found.members)
    return Section(
        "pruning",
        "Fewer members",
        "Where the curve is level, members can be spared. They were chosen on these "
        "very rows, so that the score after pruning flatters: judge the smaller "
        "ensemble on others.",
        [
            picture(
                lambda ax: _draw_pruning(ax, found, name),
                f"{name} against the number of members kept: with {n_kept} of "
                f"{subject.n_members} it is within {_MAX_LOSS} of that of all.",
                "Members are dropped one at a time, whoever is missed least first.",
            ),
            table(
                f"The smallest ensemble that loses no more than {_MAX_LOSS}",
                ["", "All", "Smallest"],
                [
                    ("Members", subject.n_members, n_kept),
                    (name, found.score, found.pruned_score),
                    ("Parameters", found.n_parameters, found.pruned_n_parameters),
                    ("Seconds to predict", found.seconds, found.pruned_seconds),
                ],
            ),
        ],
    )


def _deviation(scores: np.ndarray) -> float:
    are_alike = np.allclose(scores, scores[0], rtol=1e-12, atol=0)
    return 0.0 if are_alike else float(scores.std())  # not of rounding alone


def _collusion(subject: Subject) -> str:
    X_train, y_train = subject.training
    found = collusion_report(
        subject.ensemble,
        X_train,
        y_train,
        subject.X,
        subject.y,
        independent=subject.independent,
        random_state=subject.random_state,
    )
    both = (found, found.independent)
    rows = [
        (title, *(each[name] for each in both))
        for title, name in (
            ("Diversity, training rows", "train_diversity"),
            ("Diversity, these rows", "test_diversity"),
            ("Diversity gap", "diversity_gap"),
            ("Debiased, training rows", "debiased_train_diversity"),
            ("Debiased, these rows", "debiased_test_diversity"),
        )
    ]
    rows += [
        (f"Loss added, {n_dropped} dropped", *(float(e.codependence[at]) for e in both))
        for at, n_dropped in enumerate(found.n_dropped)
    ]
    head = ["", f"lam = {found.lam:g}", "Independent"]
    return table("Signs of collusion, beside independent members", head, rows)


def _draw_pruning(ax: Any, found: Bunch, name: str) -> None:
    n_kept = np.arange(len(found.path_scores), 0, -1)
    ax.plot(n_kept, found.path_scores, color=DARK, marker=".")
    smallest = len(found.members)
    label = f"Smallest ({smallest})"
    ax.axvline(smallest, color=BRIGHT, linestyle="--", label=label)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="Members kept", ylabel=name)
    ax.legend(loc="best")
