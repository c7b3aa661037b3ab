"""`load`: an ensemble of what a file holds, once all of that is checked."""

import math
import os
from typing import Any

import numpy as np
from skorch.history import History
from torch import Tensor

from sklearn_jointens._draws import MemberDraws
from sklearn_jointens._persistence._container import read
from sklearn_jointens._persistence._modules import by_member, members_of, new_member
from sklearn_jointens._persistence._plain import from_plain
from sklearn_jointens._persistence._plain_prototype import (
    check_setting,
    prototype_of,
    settled_by,
)
from sklearn_jointens._persistence._plain_targets import targets_like
from sklearn_jointens._persistence._rules import check, check_entries, in_short
from sklearn_jointens._prototype import check_prototype
from sklearn_jointens.nn._way import Vectorization
from sklearn_jointens.training import isolated_random_state


def load(cls: type, path: str | os.PathLike[str], estimator: Any) -> Any:
    """Read a fitted ensemble; see `JointEnsembleClassifier.load`."""
    name = os.fspath(path)
    if estimator is not None:
        check_prototype(estimator, cls.__name__, cls.prototypes)
    state, tensors, n_bytes = read(name)
    if estimator is None and state.get("prototype", "missing") is None:
        raise ValueError(
            f"The 'estimator' parameter of {cls.__name__}.load must be the prototype "
            f"that was fitted, which {name!r} cannot hold: load(path, estimator=net). "
            "Got None instead."
        )
    try:
        with isolated_random_state(0, "cpu"):
            return _rebuild(cls, state, tensors, estimator, n_bytes)
    except Exception as error:
        # Of any kind: the file may be anybody's, and the module is the user's own.
        raise ValueError(
            f"{name!r} does not hold a {cls.__name__} that fits this prototype: "
            f"{in_short(error)}."
        ) from error


def _rebuild(
    cls: Any,
    state: dict[str, Any],
    tensors: dict[str, Tensor],
    estimator: Any,
    n_bytes: int,
) -> Any:
    groups, more = by_member(tensors)
    check_entries(state, len(groups))
    is_whole = state["prototype"] is None or not any(state["members"])
    rule = "tensors alone where the prototype is known"
    check(is_whole, "members", rule, state["members"])
    if estimator is None:
        estimator = prototype_of(state["prototype"], len(groups[0]))
    ensemble = _unfitted(cls, state["params"], estimator)
    shape = tuple(state["row_shape"])
    prototype, columns = settled_by(
        cls.make_member() if estimator is None else estimator,
        state["table"],
        groups,
        math.prod(shape),
        state["feature_names_in"],
    )
    X = np.empty((0, *shape), dtype=state["dtype"])
    targets = targets_like(prototype, state["targets"])
    member = new_member(prototype, X, targets, columns)
    seeds, seed_of_folds, places, n_drawn = state["draws"]
    fitted: dict[str, Any] = {
        "estimators_": members_of(member, X, groups, more, state["members"], n_bytes),
        "n_features_in_": state["n_features_in"],
        "_row_shape": shape,
        "_allows_nan": state["allows_nan"],
        "_columns": columns,
        "_draws": MemberDraws(
            np.array(seeds), seed_of_folds, np.array(places), n_drawn
        ),
        "member_scores_": np.array(state["member_scores"]),
        "history_": History({**row, "batches": []} for row in state["history"]),
        "vectorization_": Vectorization(*state["vectorization"]),
    }
    if state["feature_names_in"] is not None:
        names = np.array(state["feature_names_in"], dtype=object)
        fitted["feature_names_in_"] = names
    if state["oob_score"] is not None:
        fitted["oob_score_"] = state["oob_score"]
    ensemble.__setstate__({**vars(ensemble), **fitted})
    return ensemble


def _unfitted(cls: Any, params: dict[str, Any], estimator: Any) -> Any:
    names = set(cls._get_param_names()) - {"estimator"}
    check(params.keys() == names, "params", f"those of {cls.__name__}", params)
    ensemble = cls(
        estimator=estimator,
        **{name: from_plain(value, name) for name, value in params.items()},
    )
    ensemble._validate_params()
    if ensemble.device is not None:
        check_setting("device", ensemble.device, None)
    return ensemble
