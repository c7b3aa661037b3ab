"""The section on who differs from whom, and of what use that is."""

import numpy as np

from sklearn_jointens.inspection._collusion import collusion_report
from sklearn_jointens.inspection._disagreement import pairwise_disagreement
from sklearn_jointens.inspection._diversity_map_display import DiversityMapDisplay
from sklearn_jointens.inspection._report._html import (
    Section,
    paragraph,
    picture,
    table,
    without_rounding,
)
from sklearn_jointens.inspection._report._subject import Subject

_SIGNS = (
    ("Diversity, training rows", "train_diversity"),
    ("Diversity, these rows", "test_diversity"),
    ("Gap between the two", "diversity_gap"),
    ("Without offsets, training rows", "debiased_train_diversity"),
    ("Without offsets, these rows", "debiased_test_diversity"),
)


def diversity(subject: Subject) -> Section | None:
    """Who differs from whom, and whether members collude."""
    if subject.n_members < 2:
        return None
    found = pairwise_disagreement(subject.ensemble, subject.X)
    pairs = found[np.triu_indices(subject.n_members, 1)]
    what = "Root mean squared difference of two members, in y's own units"
    name = "Difference"
    if subject.has_classes:
        of = "rows and labels" if subject.has_labels else "rows"
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
        parts += _collusion(subject)
    return Section(
        "diversity",
        "Diversity",
        "An even map is that of members of one kind. Blocks are groups that say the "
        "same; a bright line is a member that goes its own way. Useful diversity is as "
        "large on new rows as on those of training.",
        parts,
    )


def _collusion(subject: Subject) -> list[str]:
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
    columns = {f"lam = {found.lam:g}": found}
    normal = "These members are independent: so it looks where nobody colludes."
    if found.lam > 0 or subject.independent is not None:
        columns["Independent"] = found.independent
        normal = "What is normal, independent members show."
    rows = [
        (
            title,
            *(without_rounding(e[name], e.train_loss) for e in columns.values()),
        )
        for title, name in _SIGNS
    ]
    # Of few members, several shares of them are as many.
    n_dropped, places = np.unique(found.n_dropped, return_index=True)
    rows += [
        (
            f"Loss added, {n} dropped",
            *(float(e.codependence[at]) for e in columns.values()),
        )
        for n, at in zip(n_dropped, places, strict=True)
    ]
    return [
        table("Signs of collusion", ["", *columns], rows),
        paragraph(
            "Members collude when they shift their outputs in ways that cancel in the "
            "ensemble: they look diverse, and it is of no use. Signs of it are a large "
            "gap above 0, which is diversity that new rows do not have; diversity that "
            "is mostly gone without offsets, the constants by which each member is "
            "shifted; and much loss added when some members are dropped at random, for "
            f"each leans on the others. {normal}"
        ),
    ]
