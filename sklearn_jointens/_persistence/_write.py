"""`save`: all that a fitted ensemble has learned, as tensors and plain values."""

import json
import os
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sklearn_jointens._persistence._container import size_of, write
from sklearn_jointens._persistence._modules import (
    check_told_sizes,
    fresh_module,
    plain_module,
)
from sklearn_jointens._persistence._plain import to_plain
from sklearn_jointens._persistence._plain_prototype import plain_prototype, plain_table
from sklearn_jointens._persistence._plain_targets import plain_targets
from sklearn_jointens._persistence._rules import WrongEntry


def save(ensemble: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted ensemble; see `JointEnsembleClassifier.save`."""
    params = ensemble.get_params(deep=False)
    prototype = params.pop("estimator")
    if not isinstance(params["random_state"], int | np.integer | None):
        raise TypeError(
            "save() keeps 'random_state' when it is an int or None. "
            f"Got {type(params['random_state']).__name__} instead."
        )
    try:
        text, tensors = _contents(ensemble, params, prototype)
    except WrongEntry as error:
        raise ValueError(
            f"save() keeps what load() can check: {error}; use pickle or joblib."
        ) from error
    write(os.fspath(path), text, tensors)


def _contents(
    ensemble: Any, params: dict[str, Any], prototype: Any
) -> tuple[str, dict[str, Tensor]]:
    names = getattr(ensemble, "feature_names_in_", None)
    member = ensemble.estimators_[0]
    members, tensors = _plain_members(ensemble)
    state = {
        "params": {name: to_plain(value, name) for name, value in params.items()},
        # What changes more than tensors is code that no file can hold.
        "prototype": None if any(members) else plain_prototype(prototype),
        "targets": plain_targets(member.targets_),
        "n_features_in": int(ensemble.n_features_in_),
        "feature_names_in": None if names is None else names.tolist(),
        "row_shape": list(ensemble._row_shape),
        "allows_nan": bool(ensemble._allows_nan),
        "table": plain_table(member, ensemble._columns),
        "draws": [np.asarray(part).tolist() for part in ensemble._draws],
        "dtype": member.data_sizes_["dtype"],
        "member_scores": ensemble.member_scores_.tolist(),
        "oob_score": to_plain(getattr(ensemble, "oob_score_", None), "oob_score_"),
        "vectorization": list(ensemble.vectorization_),
        "history": [
            {key: value for key, value in row.items() if key != "batches"}
            for row in ensemble.history_
        ],
        "members": members,
    }
    text = json.dumps(state, default=_number)
    check_told_sizes(member, size_of(text, tensors))
    return text, tensors


def _number(value: Any) -> Any:
    """What a callback has put into the history, if it is a number of NumPy's."""
    return to_plain(np.asarray(value)[()], "history_")


def _plain_members(ensemble: Any) -> tuple[list[dict[str, Any]], dict[str, Tensor]]:
    tensors: dict[str, Tensor] = {}

    def keep(name: str, tensor: Tensor) -> str:
        tensor = tensor.detach().cpu()
        tensors[name] = tensor.clone(memory_format=torch.contiguous_format)
        return name

    fresh = fresh_module(ensemble.estimators_[0], ensemble.estimator)
    members = [
        plain_module(
            member.module_,
            fresh,
            lambda name, tensor, j=j: keep(f"{j}.{name}", tensor),
            lambda tensor: keep(f"more.{len(tensors)}", tensor),
        )
        for j, member in enumerate(ensemble.estimators_)
    ]
    return members, tensors
