"""What y holds, in a file."""

import math
from typing import Any

import numpy as np
from sklearn.base import is_classifier

from sklearn_jointens._persistence._plain import labels_of, plain_labels
from sklearn_jointens._persistence._rules import check, is_list_of, is_size
from sklearn_jointens.losses import family_of
from sklearn_jointens.training import Targets, class_targets
from sklearn_jointens.training._targets import (
    ClassTargets,
    LabelTargets,
    NumberTargets,
    criterion_of,
)


def plain_targets(targets: Any) -> dict[str, Any]:
    """Targets as JSON."""
    if isinstance(targets, ClassTargets):
        return {"classes": plain_labels(targets.classes)}
    if isinstance(targets, LabelTargets):
        return {"n_labels": targets.n_outputs}
    units = {"origin": targets.origin.tolist(), "unit": targets.unit.tolist()}
    return {"is_flat": targets.is_flat, **units}


def targets_like(prototype: Any, state: dict[str, Any]) -> Targets:
    """What `plain_targets` was given, for members of this prototype."""
    is_of_classes = is_classifier(prototype)
    if is_of_classes and state.keys() == {"classes"}:
        return class_targets(prototype, labels_of(state["classes"]))
    if is_of_classes and state.keys() == {"n_labels"}:
        n_labels = state["n_labels"]
        check(is_size(n_labels), "n_labels", "a positive int", n_labels)
        return LabelTargets(n_labels)
    is_right = not is_of_classes and state.keys() == {"is_flat", "origin", "unit"}
    check(is_right, "targets", "of the prototype's kind", state)
    is_flat, origin, unit = (state[name] for name in ("is_flat", "origin", "unit"))
    check(type(is_flat) is bool, "is_flat", "a bool", is_flat)
    check(_are_finite(origin) and origin, "origin", "a list of floats", origin)
    is_scale = _are_finite(unit) and len(unit) == len(origin) and min(unit) > 0
    check(is_scale, "unit", f"{len(origin)} floats above 0", unit)
    check(len(unit) == 1 or not is_flat, "is_flat", "False of several targets", unit)
    return NumberTargets(
        None if is_flat else len(unit),
        family_of(criterion_of(prototype)),
        np.array(origin),
        np.array(unit),
    )


def _are_finite(value: Any) -> bool:
    return is_list_of(value, float) and all(map(math.isfinite, value))
