"""Sections on how sure the ensemble is, and how far that can be trusted."""

from typing import Any

import numpy as np

from sklearn_jointens.inspection._calibration import calibration
from sklearn_jointens.inspection._report._html import (
    Section,
    paragraph,
    picture,
    table,
)
from sklearn_jointens.inspection._report._looks import DARK
from sklearn_jointens.inspection._report._subject import Subject
from sklearn_jointens.inspection._risk_coverage_display import RiskCoverageDisplay
from sklearn_jointens.inspection._uncertainty import measures_of

# The measures that are drawn, where an ensemble has them.
_DRAWN = ("total_entropy", "mutual_information", "total_variance", "variance_between")


def uncertainty(subject: Subject) -> Section:
    """How unsure the ensemble is of rows that it gets right or wrong."""
    measures = {
        _title(name): values.reshape(len(values), -1).mean(axis=1)
        for name, values in measures_of(subject.reading).items()
        if values is not None and name != "member_divergence"
    }
    parts = [_risk(subject, measures), _means(subject, measures)]
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
    error = found.expected_calibration_error

    def draw(ax: Any) -> None:
        sizes = 20 + 280 * found.n_rows / found.n_rows.max()
        ax.plot([0, 1], [0, 1], color="black", linestyle="--", linewidth=1)
        ax.plot(found.confidence, found.accuracy, color=DARK, linewidth=1.2)
        ax.scatter(found.confidence, found.accuracy, sizes, color=DARK, alpha=0.7)
        limits = (-0.04, 1.04)
        ax.set(xlabel="Confidence", ylabel="Accuracy", xlim=limits, ylim=limits)

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
    return Section(
        "calibration",
        "Calibration",
        "Of rows that the ensemble is 80 % sure of, it should get 80 % right: dots on "
        "the dashed line. Below it the ensemble is too sure, above it not sure enough.",
        [
            picture(
                draw,
                f"Accuracy against confidence in {len(filled)} bins. The expected "
                f"calibration error is {error:.4g}.",
                "How often the ensemble is right where it is so sure; larger dots are "
                "more rows.",
            ),
            table("By confidence", ["Bin", "Rows", "Confidence", "Accuracy"], rows),
            paragraph(f"Expected calibration error: {error:.4g}."),
        ],
    )


def _risk(subject: Subject, measures: dict[str, np.ndarray]) -> str:
    names = [name for name in map(_title, _DRAWN) if name in measures]

    def draw(ax: Any) -> None:
        for name, line in zip(names, ("-", "-."), strict=False):
            RiskCoverageDisplay.from_estimator(
                subject.ensemble,
                subject.X,
                subject.y,
                measure=measures[name],
                name=name,
                ax=ax,
                linestyle=line,
                plot_chance_level=name == names[-1],
            )
        ax.set_xlabel("Share of rows, the most certain first")

    lost = "error rate" if subject.has_classes else "mean squared error"
    return picture(
        draw,
        f"The {lost} against the share of rows, the most certain first, by "
        f"{' and by '.join(names)}.",
        f"The {lost} of the most certain rows. A smaller area is better.",
    )


def _means(subject: Subject, measures: dict[str, np.ndarray]) -> str:
    head, groups = ["Measure", "All rows"], [slice(None)]
    if subject.has_classes:
        wrong = subject.ensemble.predict(subject.X) != subject.y
        wrong = wrong.reshape(len(wrong), -1).any(axis=1)
        head += ["Right", "Wrong"]
        groups += [~wrong, wrong]
    rows = [
        (name, *(_mean(values[group]) for group in groups))
        for name, values in measures.items()
    ]
    return table("Means over rows", head, rows)


def _title(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")
