"""Sections on the members: each by itself, and who is needed."""

from typing import Any

import numpy as np
from sklearn.utils import Bunch

from sklearn_jointens.inspection._drawing import drawing_for
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


def members(subject: Subject) -> Section | None:
    """How good members are, and what each gives."""
    if subject.n_members < 2:
        return None
    (score, of_members), mean = subject.scores, subject.mean_score
    known = of_members[np.isfinite(of_members)]
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
        ax.hist(known, bins=min(30, max(8, len(known) // 4)), color=GREY)
        ax.axvline(score, color=DARK, linewidth=2.4, label=f"Ensemble ({score:.4g})")
        label = f"Mean member ({mean:.4g})"
        ax.axvline(mean, color=BRIGHT, linestyle="--", linewidth=1.6, label=label)
        ax.xaxis.get_major_locator().set_params(nbins=5)
        ax.yaxis.get_major_locator().set_params(integer=True)
        ax.set(xlabel=name, ylabel="Members")
        drawing_for("report").draw_legend([ax])

    drawn = picture(
        draw,
        f"Histogram of the members by {subject.score_in_text}, {mean:.4g} in the mean. "
        f"The ensemble has {score:.4g}.",
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


def pruning(subject: Subject) -> Section | None:
    """How many members are enough."""
    if subject.n_members < 2:
        return None
    max_loss = subject.max_loss
    found = prune_members(subject.ensemble, **subject.scored_rows, max_loss=max_loss)
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
                f"{subject.n_members} it is within {max_loss:g} of that of all.",
                "Members are dropped one at a time, whoever is missed least first.",
            ),
            table(
                f"The smallest ensemble that loses no more than {max_loss:g} of "
                f"{subject.score_in_text}",
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


def _draw_pruning(ax: Any, found: Bunch, name: str) -> None:
    n_kept = np.arange(len(found.path_scores), 0, -1)
    ax.plot(n_kept, found.path_scores, color=DARK, marker=".")
    smallest = len(found.members)
    label = f"Smallest ({smallest})"
    ax.axvline(smallest, color=BRIGHT, linestyle="--", label=label)
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set(xlabel="Members kept", ylabel=name)
    ax.legend(loc="best")
