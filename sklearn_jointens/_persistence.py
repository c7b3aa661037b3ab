"""`save` and `load`: an ensemble in one file that holds numbers and text, no code.

The file is in the safetensors format: weights as tensors, and everything else as one
JSON text in the file's metadata. Loading builds only objects that this module names;
what it does not know, it refuses.
"""

import inspect
import json
import os
import uuid
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from skorch.history import History
from torch import nn

from sklearn_jointens._draws import MemberDraws
from sklearn_jointens._members import Vectorization, check_prototype
from sklearn_jointens._mlp import mlp_classifier
from sklearn_jointens._tabular import tabular_classifier
from sklearn_jointens.nn import MLP, TabularEncoding, TabularMLP
from sklearn_jointens.training import (
    BestEpoch,
    ColumnCodes,
    MemberFolds,
    MemberNet,
    MemberNetClassifier,
    TabularNetClassifier,
    derived_net,
    isolated_random_state,
    unfitted_net,
)

_FORMAT = "sklearn_jointens.JointEnsembleClassifier"
_VERSION = 1

# The functions that make the prototypes that a file can hold, by their classes.
_MAKERS: dict[type, Any] = {
    MemberNetClassifier: mlp_classifier,
    TabularNetClassifier: tabular_classifier,
}

# Classes and functions of a prototype that a file may name.
_KNOWN_PARTS = {
    "MLP": MLP,
    "TabularMLP": TabularMLP,
    "CrossEntropyLoss": nn.CrossEntropyLoss,
    "NLLLoss": nn.NLLLoss,
    "SGD": torch.optim.SGD,
    "Adam": torch.optim.Adam,
    "AdamW": torch.optim.AdamW,
    "RMSprop": torch.optim.RMSprop,
    "float32": torch.float32,
    "float64": torch.float64,
}

# Objects of a prototype that a file may describe by their parameters.
_KNOWN_KINDS = {
    kind.__name__: kind for kind in (BestEpoch, EarlyStopping, MemberFolds, ValidSplit)
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
    if type(value) in _KNOWN_KINDS.values():
        params = {
            key: part
            for key, part in vars(value).items()
            if not key.endswith("_") and part is not print
        }
        return {"kind": [type(value).__name__, _plain(params, name)]}
    for part, known in _KNOWN_PARTS.items():
        if value is known:
            return {"part": part}
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
    if kind == "part":
        return _KNOWN_PARTS[items]
    if kind == "kind":
        return _KNOWN_KINDS[items[0]](**_unplain(items[1]))
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
    make = _MAKERS.get(type(prototype))
    if make is None:
        return None
    default = make().get_params(deep=False)
    try:
        params = {
            name: _plain(value, name)
            for name, value in prototype.get_params(deep=False).items()
            if not name.startswith("_")
            and not (name in default and value is default[name])
        }
    except TypeError:
        return None
    return {"class": type(prototype).__name__, "params": params}


def _prototype(state: dict[str, Any]) -> Any:
    makers = {kind.__name__: make for kind, make in _MAKERS.items()}
    params = {name: _unplain(value) for name, value in state["params"].items()}
    default = makers[state["class"]]()
    known = default.get_params(deep=False)
    unknown = [name for name in params if name not in known and "__" not in name]
    if unknown:
        raise ValueError(f"unknown settings {unknown}")
    return unfitted_net(default, **params)


def _plain_table(ensemble: Any) -> dict[str, Any] | None:
    """What members for tables have learned of the data; their encoding is tensors."""
    member, columns = ensemble.estimators_[0], ensemble._columns
    if not isinstance(member, TabularNetClassifier):
        return None
    params = member.get_params(deep=False)
    return {
        "settled": {
            name: _plain(params[name], name)
            for name in member.settled_names
            if name in params
        },
        "columns": None if columns is None else _plain(columns.state(), "columns"),
    }


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
        "allows_nan": ensemble._allows_nan,
        "table": _plain_table(ensemble),
        "draws": [np.asarray(part).tolist() for part in ensemble._draws],
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
    allows_nan: bool,
    table: dict[str, Any] | None,
    draws: list[Any],
    dtype: str,
    member_scores: list[float],
    oob_score: float | None,
    vectorization: list[Any],
    history: list[Any],
) -> Any:
    """The ensemble of a file's state, which has these entries and no other."""
    if estimator is None and prototype != "default":
        estimator = _prototype(prototype)
    default = tabular_classifier() if estimator is None else estimator
    params = {name: _unplain(value) for name, value in params.items()}
    ensemble = cls(estimator=estimator, **params)
    ensemble._validate_params()
    if len(member_scores) != n_members:
        raise ValueError(f"{len(member_scores)} member scores of {n_members} members")
    labels = _labels(classes)
    X = np.empty((0, *row_shape), dtype=dtype.removeprefix("torch."))
    columns = None
    if table is not None:
        names = inspect.signature(TabularEncoding).parameters
        encoding = TabularEncoding(
            **{name: tensors[f"0.encoding.{name}"] for name in names}
        )
        said = {name: _unplain(value) for name, value in table["settled"].items()}
        default = unfitted_net(default, module__encoding=encoding, **said)
        if table["columns"] is not None:
            columns = ColumnCodes.of_state(_unplain(table["columns"]))
    members = []
    for j in range(n_members):
        member = derived_net(default, MemberNet)
        member.columns_ = columns
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
        "_allows_nan": allows_nan,
        "_columns": columns,
        "_draws": MemberDraws(
            np.array(draws[0]), int(draws[1]), np.array(draws[2]), int(draws[3])
        ),
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
