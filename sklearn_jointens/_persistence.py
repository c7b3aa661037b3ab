"""`save` and `load`: an ensemble in one file that holds numbers and text, no code.

The file is in the safetensors format: weights as tensors, and everything else as one
JSON text in the file's metadata. Loading builds only objects that this module names;
what it does not know, it refuses.
"""

import json
import os
import uuid
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from skorch.history import History
from torch import nn

from sklearn_jointens._members import Vectorization, check_prototype
from sklearn_jointens._mlp import mlp_classifier
from sklearn_jointens.nn import MLP
from sklearn_jointens.training import (
    MemberNet,
    MemberNetClassifier,
    derived_net,
    isolated_random_state,
)

_FORMAT = "sklearn_jointens.JointEnsembleClassifier"
_VERSION = 1

# Parts of a prototype that a file may name.
_KNOWN_PARTS = {
    "MLP": MLP,
    "CrossEntropyLoss": nn.CrossEntropyLoss,
    "NLLLoss": nn.NLLLoss,
    "SGD": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "RMSprop": torch.optim.RMSprop,
}


def _plain(value: Any, name: str) -> Any:
    """`value` as JSON holds it; numbers of NumPy become Python's."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, dict):
        return {"dict": [[_plain(k, name), _plain(v, name)] for k, v in value.items()]}
    if isinstance(value, list | tuple):
        kind = "tuple" if isinstance(value, tuple) else "list"
        return {kind: [_plain(item, name) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(
        f"save() keeps None, bool, int, float, str, tuples, lists and dicts of them. "
        f"Got {type(value).__name__} in {name!r} instead; use pickle or joblib."
    )


def _unplain(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    ((kind, items),) = value.items()
    if kind == "dict":
        return {_unplain(k): _unplain(v) for k, v in items}
    if kind not in ("tuple", "list"):
        raise ValueError(f"unknown kind of value {kind!r}")
    items = [_unplain(item) for item in items]
    return tuple(items) if kind == "tuple" else items


def _plain_labels(labels: np.ndarray) -> dict[str, Any]:
    dtype = "object" if labels.dtype.kind == "O" else labels.dtype.str
    return {"dtype": dtype, "values": _plain(labels.tolist(), "classes_")}


def _labels(state: dict[str, Any]) -> np.ndarray:
    return np.array(_unplain(state["values"]), dtype=np.dtype(state["dtype"]))


def _plain_prototype(prototype: Any) -> dict[str, Any] | None:
    """A prototype of known parts as JSON; None when `load` has to be given it."""
    if type(prototype) is not MemberNetClassifier:
        return None
    default = mlp_classifier().get_params(deep=False)
    plain = {}
    for name, value in prototype.get_params(deep=False).items():
        if name.startswith("_") or (name in default and value is default[name]):
            continue
        part = getattr(value, "__name__", None)
        if part in _KNOWN_PARTS and _KNOWN_PARTS[part] is value:
            plain[name] = {"part": part}
            continue
        try:
            plain[name] = {"value": _plain(value, name)}
        except TypeError:
            return None
    return plain


def _prototype(state: dict[str, Any]) -> Any:
    params = {
        name: _KNOWN_PARTS[entry["part"]]
        if "part" in entry
        else _unplain(entry["value"])
        for name, entry in state.items()
    }
    return mlp_classifier().set_params(**params)


def save(ensemble: Any, path: str | os.PathLike[str]) -> None:
    """Write a fitted ensemble; see `JointEnsembleClassifier.save`."""
    params = ensemble.get_params(deep=False)
    prototype = params.pop("estimator")
    if not isinstance(params["random_state"], int | np.integer | None):
        raise TypeError(
            "save() keeps 'random_state' when it is an int or None. "
            f"Got {type(params['random_state']).__name__} instead."
        )
    names = getattr(ensemble, "feature_names_in_", None)
    state = {
        "params": {name: _plain(value, name) for name, value in params.items()},
        "n_members": len(ensemble.estimators_),
        "prototype": "default" if prototype is None else _plain_prototype(prototype),
        "classes": _plain_labels(ensemble.classes_),
        "n_features_in": int(ensemble.n_features_in_),
        "feature_names_in": None if names is None else names.tolist(),
        "row_shape": list(ensemble._row_shape),
        "dtype": str(ensemble.estimators_[0].data_sizes_["dtype"]),
        "member_scores": ensemble.member_scores_.tolist(),
        "oob_score": getattr(ensemble, "oob_score_", None),
        "vectorization": list(ensemble.vectorization_),
        "history": [
            {key: value for key, value in row.items() if key != "batches"}
            for row in ensemble.history_
        ],
    }
    tensors = {
        f"{j}.{name}": tensor.cpu().clone(memory_format=torch.contiguous_format)
        for j, member in enumerate(ensemble.estimators_)
        for name, tensor in member.module_.state_dict().items()
    }
    text = json.dumps(state, default=_number)
    metadata = {"format": _FORMAT, "version": str(_VERSION), "state": text}
    _write_whole(serialize(tensors, metadata), os.fspath(path))


def _number(value: Any) -> Any:
    """What a callback has put into the history, if it is a number of NumPy's."""
    return _plain(np.asarray(value)[()], "history_")


def _write_whole(data: bytes, path: str) -> None:
    """Write all of a file or nothing: an earlier file stays until this is whole."""
    draft = f"{path}.{uuid.uuid4().hex}"
    try:
        with open(draft, "xb") as file:
            file.write(data)
        os.replace(draft, path)
    finally:
        with suppress(FileNotFoundError):
            os.remove(draft)


def load(cls: type, path: str | os.PathLike[str], estimator: Any) -> Any:
    """Read a fitted ensemble; see `JointEnsembleClassifier.load`."""
    state, tensors = _read(path)
    if estimator is not None:
        check_prototype(estimator, cls.__name__)
    elif state.get("prototype", "missing") is None:
        raise ValueError(
            f"The 'estimator' parameter of {cls.__name__}.load must be the prototype "
            "that was fitted, which the file cannot hold: load(path, estimator=net). "
            "Got None instead."
        )
    try:
        with isolated_random_state(0, "cpu"):
            return _rebuild(cls, tensors, estimator, **state)
    except (KeyError, TypeError, AttributeError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{os.fspath(path)!r} does not hold a {cls.__name__} that fits this "
            f"prototype: {type(error).__name__}: {error}"
        ) from error


def _read(path: str | os.PathLike[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    name = os.fspath(path)
    try:
        with safe_open(name, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError(f"{name!r} was not written by save().")
            if metadata.get("version") != str(_VERSION):
                raise ValueError(
                    f"{name!r} is of version {metadata.get('version')!r}; this "
                    f"sklearn_jointens reads version {_VERSION}."
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
            state = json.loads(metadata["state"])
            if not isinstance(state, dict):
                raise ValueError(f"{name!r} was not written by save().")
            return state, tensors
    except (SafetensorError, json.JSONDecodeError, KeyError) as error:
        raise ValueError(
            f"{name!r} is truncated or was not written by save(): {error}"
        ) from error


def _rebuild(
    cls: type,
    tensors: dict[str, torch.Tensor],
    estimator: Any,
    *,
    params: Any,
    n_members: int,
    prototype: Any,
    classes: Any,
    n_features_in: int,
    feature_names_in: list[str] | None,
    row_shape: list[int],
    dtype: str,
    member_scores: list[float],
    oob_score: float | None,
    vectorization: list[Any],
    history: list[Any],
) -> Any:
    """The ensemble of a file's state, which has these entries and no other."""
    if estimator is None and prototype != "default":
        estimator = _prototype(prototype)
    params = {name: _unplain(value) for name, value in params.items()}
    ensemble = cls(estimator=estimator, **params)
    ensemble._validate_params()
    if len(member_scores) != n_members:
        raise ValueError(f"{len(member_scores)} member scores of {n_members} members")
    labels = _labels(classes)
    X = np.empty((0, *row_shape), dtype=dtype.removeprefix("torch."))
    members = []
    for j in range(n_members):
        member = derived_net(estimator or mlp_classifier(), MemberNet)
        member.set_params(device="cpu", verbose=0, compile=False)
        member.observe(X, labels).initialize()
        prefix = f"{j}."
        names = [name for name in tensors if name.startswith(prefix)]
        member.module_.load_state_dict(
            {name.removeprefix(prefix): tensors.pop(name) for name in names}
        )
        member.module_.eval()
        members.append(member)
    if tensors:
        raise ValueError(f"unknown tensors {sorted(tensors)}")
    fitted: dict[str, Any] = {
        "estimators_": members,
        "classes_": labels,
        "n_features_in_": n_features_in,
        "_row_shape": tuple(row_shape),
        "member_scores_": np.array(member_scores),
        "history_": History({**row, "batches": []} for row in history),
        "vectorization_": Vectorization(*vectorization),
    }
    if feature_names_in is not None:
        fitted["feature_names_in_"] = np.array(feature_names_in, dtype=object)
    if oob_score is not None:
        fitted["oob_score_"] = oob_score
    ensemble.__setstate__({**vars(ensemble), **fitted})
    return ensemble
