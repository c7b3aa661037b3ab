"""Sections on the ensemble as a whole: what it is, and how good."""

import numpy as np

from sklearn_jointens.inspection._decomposition import diversity_decomposition
from sklearn_jointens.inspection._report._html import (
    Section,
    details,
    facts,
    number,
    paragraph,
    table,
)
from sklearn_jointens.inspection._report._subject import Subject

# A longer table or list says less.
_MOST_ROWS, _MOST_NAMES = 30, 10


def about(subject: Subject) -> Section:
    """What the ensemble is."""
    ensemble = subject.ensemble
    member = ensemble.estimators_[0]
    module = member.module_
    net_class = getattr(member, "prototype_class", type(member))
    n_parameters = sum(weights.numel() for weights in module.parameters())
    return Section(
        "about",
        "The ensemble",
        "What was trained, and how. Look here first when a number below surprises you.",
        [
            facts(
                [
                    ("Estimator", type(ensemble).__name__),
                    ("lam", f"{ensemble.lam:g} ({_meaning(ensemble.lam)})"),
                    ("Member", f"{type(module).__name__} in {net_class.__name__}"),
                    ("Criterion", type(member.criterion_).__name__),
                    (
                        "Parameters",
                        f"{n_parameters:,} in each member, "
                        f"{n_parameters * subject.n_members:,} in all",
                    ),
                    ("Epochs", _epochs(ensemble.n_iter_, ensemble.best_epoch_)),
                    ("Vectorization", ensemble.vectorization_.reason),
                    ("Targets", _targets(subject)),
                    ("Judged on", f"{subject.reading.n_rows:,} rows"),
                ]
            ),
            details("Parameters of the estimator", str(ensemble)),
            details("Layers of a member", str(module)),
        ],
    )


def scores(subject: Subject) -> Section:
    """What the ensemble and its members score and lose."""
    (score, of_members), losses = subject.scores, subject.losses
    best = int(of_members.argmax())
    parts = [
        table(
            "Ensemble and members",
            ["", subject.score_name, "Loss"],
            [
                ("Ensemble", score, losses.ensemble_loss),
                ("Mean member", float(of_members.mean()), losses.member_loss),
                (
                    f"Best member ({best})",
                    float(of_members[best]),
                    float(losses.member_losses[best]),
                ),
            ],
        )
    ]
    if subject.has_classes:
        parts.append(_by_class(subject))
    parts.append(
        paragraph(
            f"Ensemble loss {number(losses.ensemble_loss)} = mean member loss "
            f"{number(losses.member_loss)} less diversity {number(losses.diversity)}."
        )
    )
    return Section(
        "scores",
        "Score and loss",
        "The ensemble should beat its best member, or one network would do. Its loss "
        "is less than its mean member's by exactly the diversity.",
        parts,
    )


def _meaning(lam: float) -> str:
    if lam == 0:
        return "independent members"
    if lam == 1:
        return "end to end, as one network"
    return "0 is independent, 1 is end to end"


def _epochs(n_epochs: int, best: int) -> str:
    return f"{n_epochs} (weights of epoch {best})" if best < n_epochs else str(n_epochs)


def _targets(subject: Subject) -> str:
    n_targets = subject.reading.targets.n_predicted
    if not subject.has_classes:
        return "numbers" if n_targets == 1 else f"{n_targets} numbers"
    if subject.y.ndim > 1:
        return f"{n_targets} labels"
    names = [str(name) for name in subject.ensemble.classes_]
    n_more = len(names) - _MOST_NAMES
    more = f" and {n_more} more" if n_more > 0 else ""
    return f"{len(names)} classes: {', '.join(names[:_MOST_NAMES])}{more}"


def _by_class(subject: Subject) -> str:
    """Losses of classes or labels, the worst first."""
    found = diversity_decomposition(subject.ensemble, **subject.rows, by="class")
    lost = np.nan_to_num(found.ensemble_loss, nan=-np.inf)
    worst = np.argsort(-lost, kind="stable")[:_MOST_ROWS]
    rows = [
        (
            str(found.classes[j]),
            float(found.ensemble_loss[j]),
            float(found.member_loss[j]),
            float(found.diversity[j]),
        )
        for j in worst
    ]
    what = "class" if subject.y.ndim == 1 else "label"
    of = "the worst first" if len(lost) == len(worst) else f"the worst {len(worst)}"
    head = [what.capitalize(), "Ensemble loss", "Mean member loss", "Diversity"]
    return table(f"By {what}, {of}", head, rows)
