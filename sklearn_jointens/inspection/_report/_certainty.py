"""Sections on how sure the ensemble is, and how far that can be trusted."""

from typing import Any

import numpy as np

from sklearn_jointens.inspection._calibration import calibration
from sklearn_jointens.inspection._report._html import (
    Section,
    facts,
    paragraph,
    picture,
    table,
)
from sklearn_jointens.inspection._report._looks import DARK
from sklearn_jointens.inspection._report._subject import Subject
from sklearn_jointens.inspection._risk_coverage_display import (
    RiskCoverageDisplay,
    risks_of,
)
from sklearn_jointens.inspection._uncertainty import measures_of

# The measures that are drawn, where an ensemble has them, and how.
_DRAWN = {
    "ensemble_entropy": "-",
    "total_entropy": ":",
    "mutual_information": "-.",
    "total_variance": "-",
    "variance_between": "-.",
}

_MEANINGS = {
    "total_entropy": "Entropy of the members' mean probabilities",
    "expected_entropy": "Mean of the members' entropies: what each is unsure of",
    "mutual_information": "Total less expected entropy: what members differ about",
    "ensemble_entropy": "Entropy of what the ensemble predicts",
    "disagreement": "Share of pairs of members that say different things",
    "variation_ratio": "Share of members that do not say what most of them do",
    "variance_between": "Of the members' predictions",
    "variance_within": "Mean of the variances that members predict",
    "total_variance": "Variance between and within members",
    "diversity": "What the ensemble loses less than its mean member",
}


def uncertainty(subject: Subject) -> Section:
    """How unsure the ensemble is of rows that it gets right or wrong."""
    measures = {
        name: values.reshape(len(values), -1).mean(axis=1)
        for name, values in measures_of(subject.reading).items()
        if values is not None and name != "member_divergence"
    }
    meanings = [(_title(name), _MEANINGS[name]) for name in measures]
    risks, _ = risks_of(subject.reading)
    parts = [
        _risk(subject, measures, risks),
        _means(subject, measures, risks),
        facts(meanings),
    ]
    parts.append(
        paragraph(
            "Entropies, mutual information and diversity are in nats."
            if subject.has_classes
            else "Variances are in y's own units, squared; diversity is in the units "
            "of the loss."
        )
    )
    lam = subject.ensemble.lam
    if lam > 0 and subject.n_members > 1:
        parts.append(
            paragraph(
                f"Training with lam = {lam:g} has rewarded the members for being "
                "different, so that their spread is not their doubt alone."
            )
        )
    return Section(
        "uncertainty",
        "Uncertainty",
        "A measure can be trusted where its curve rises late, from far below the "
        "dashed line: what the ensemble is sure of, it gets right.",
        parts,
    )


def calibrated(subject: Subject) -> Section | None:
    """Whether probabilities are shares of rows."""
    if not subject.has_classes:
        return None
    found = calibration(subject.ensemble, **subject.rows)
    error, labels = found.expected_calibration_error, subject.has_labels
    sure, right = ("Probability", "Share") if labels else ("Confidence", "Accuracy")

    def draw(ax: Any) -> None:
        sizes = 20 + 280 * found.n_rows / found.n_rows.max()
        ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
        ax.scatter(
            found.confidence,
            found.accuracy,
            sizes,
            color=DARK,
            alpha=0.7,
            clip_on=False,
        )
        limits = (-0.04, 1.04)
        ax.set(xlabel=sure, ylabel=right, xlim=limits, ylim=limits)

    filled = np.flatnonzero(found.n_rows)
    rows = [
        (
            f"{at / len(found.n_rows):.2f} to {(at + 1) / len(found.n_rows):.2f}",
            int(found.n_rows[at]),
            float(found.confidence[at]),
            float(found.accuracy[at]),
        )
        for at in filled[::-1]
    ]
    if labels:
        advice = (
            "Where the ensemble says that a label is 80 % probable, 80 % of rows "
            "should have it: dots on the dashed line. Below it probabilities are too "
            "high, above it too low."
        )
        caption = "Share of rows that have the label, where it is so probable"
    else:
        advice = (
            "Of rows that the ensemble is 80 % sure of, it should get 80 % right: dots "
            "on the dashed line. Below it the ensemble is too sure, above it not sure "
            "enough."
        )
        caption = "How often the ensemble is right where it is so sure"
    return Section(
        "calibration",
        "Calibration",
        advice,
        [
            picture(
                draw,
                f"{right} against {sure.lower()} in {len(filled)} bins. The expected "
                f"calibration error is {error:.4g}.",
                f"{caption}; larger dots are more rows.",
            ),
            table(
                f"By {sure.lower()}",
                ["Bin", "Rows and labels" if labels else "Rows", sure, right],
                rows,
            ),
            paragraph(
                f"Expected calibration error: {error:.4g}, the mean over rows of their "
                "dot's distance from the dashed line."
            ),
        ],
    )


def _risk(subject: Subject, measures: dict[str, np.ndarray], risks: np.ndarray) -> str:
    names = [name for name in _DRAWN if name in measures]
    lost = "error rate" if subject.has_classes else "mean squared error"

    def draw(ax: Any) -> None:
        for name in names:
            RiskCoverageDisplay.from_predictions(
                risks,
                measures[name],
                name=_title(name),
                risk_name=lost.capitalize(),
                ax=ax,
                linestyle=_DRAWN[name],
                plot_chance_level=name == names[-1],
            )
        ax.set_xlabel("Share of rows, the most certain first")

    wrong = " A row is wrong where one of its labels is." if subject.has_labels else ""
    return picture(
        draw,
        f"The {lost} against the share of rows, the most certain first, by "
        f"{' and by '.join(map(_title, names))}.",
        f"The {lost} of the most certain rows. A smaller area is better.{wrong}",
    )


def _means(subject: Subject, measures: dict[str, np.ndarray], risks: np.ndarray) -> str:
    head, groups = ["Measure", "All rows"], [slice(None)]
    if subject.has_classes:
        wrong = risks > 0
        head += ["Right", "Wrong"]
        groups += [~wrong, wrong]
    rows = [
        (_title(name), *(_mean(values[group]) for group in groups))
        for name, values in measures.items()
    ]
    return table("Means over rows", head, rows)


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
