"""Sections on the ensemble as a whole: what it is, and how good."""

from collections.abc import Iterator

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
from sklearn_jointens.losses import Poisson

# A longer table or list says less.
_MOST_ROWS, _MOST_NAMES = 30, 10

_RUN = {
    "structural": "as one program",
    "vmap": "as one program, with torch.func.vmap",
    "loop": "one after another",
}


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
        "What was trained, and how.",
        [
            facts(
                [
                    ("Estimator", subject.origin),
                    ("lam", f"{ensemble.lam:g} ({_meaning(ensemble.lam)})"),
                    ("Member", f"{type(module).__name__} in {net_class.__name__}"),
                    ("Criterion", type(member.criterion_).__name__),
                    (
                        "Parameters",
                        f"{number(n_parameters)} in each member, "
                        f"{number(n_parameters * subject.n_members)} in all",
                    ),
                    ("Epochs", _epochs(ensemble.n_iter_, ensemble.best_epoch_)),
                    ("Members run", _RUN[ensemble.vectorization_.method]),
                    ("Targets", _targets(subject)),
                    ("Judged on", f"{number(subject.reading.n_rows)} rows"),
                ]
            ),
            details("Parameters of the estimator", str(ensemble)),
            details("Layers of a member", str(module)),
        ],
    )


def scores(subject: Subject) -> Section:
    """What the ensemble and its members score and lose."""
    (score, of_members), losses = subject.scores, subject.losses
    best = subject.best_member
    parts = [
        table(
            "Ensemble and members",
            ["", subject.score_name, "Loss"],
            [
                ("Ensemble", score, losses.ensemble_loss),
                ("Mean member", subject.mean_score, losses.member_loss),
                (
                    f"Best member here ({best})",
                    float(of_members[best]),
                    float(losses.member_losses[best]),
                ),
            ],
        )
    ]
    if subject.has_classes:
        parts.append(_by_class(subject))
    parts += [paragraph(text) for text in _notes(subject)]
    return Section(
        "scores",
        "Score and loss",
        f"{_verdict(subject)}Its loss is less than its mean member's by exactly the "
        "diversity.",
        parts,
    )


def _verdict(subject: Subject) -> str:
    score, of_members = subject.scores
    best = of_members[subject.best_member]
    if subject.n_members == 1 or np.isnan([score, best]).any():
        return ""
    if score > best:
        return "The ensemble beats its best member, as it should. "
    return (
        "The ensemble does not beat its best member, as it should; but these very rows "
        "say which one that is. "
    )


def _notes(subject: Subject) -> Iterator[str]:
    """What there is to know of these numbers."""
    losses = subject.losses
    yield (
        f"Ensemble loss {number(losses.ensemble_loss)} = mean member loss "
        f"{number(losses.member_loss)} less diversity {number(losses.diversity)}."
    )
    if subject.counts_whole_rows:
        yield "Accuracy is the share of rows with all labels right."
    if subject.has_classes:
        yield "Losses and diversity are in nats."
    elif subject.reading.targets.is_plain:
        yield "Losses and diversity are of y in its own units."
    else:
        yield (
            "Losses and diversity are in the units that members learn y in, for they "
            "scale it: they do not compare with what is in y's own units."
        )
    if losses.ensemble_loss < 0:
        yield (
            "A loss below 0 is no mistake: that of counts leaves out what no "
            "prediction changes, and that of variances is the logarithm of a density, "
            "which may be above 1. Lower is better all the same."
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
        kind = "counts" if isinstance(subject.reading.family, Poisson) else "numbers"
        return kind if n_targets == 1 else f"{n_targets} {kind}"
    if subject.has_labels:
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
    what = "label" if subject.has_labels else "class"
    of = "the worst first" if len(lost) == len(worst) else f"the worst {len(worst)}"
    head = [what.capitalize(), "Ensemble loss", "Mean member loss", "Diversity"]
    return table(f"By {what}, {of}", head, rows)
