"""Values as JSON holds them, and back; what has no such form is refused by name."""

import re
from collections.abc import Callable, Hashable
from typing import Any

import numpy as np
import torch
from skorch.callbacks import EarlyStopping
from skorch.dataset import ValidSplit
from torch import Tensor

from sklearn_jointens._persistence._rules import check, is_list_of
from sklearn_jointens.losses._criteria import CLASS_CRITERIA, NUMBER_CRITERIA
from sklearn_jointens.nn import MLP, TabularMLP
from sklearn_jointens.training import BestEpoch, MemberFolds

# Classes and dtypes that a file may name, by the parameter that they are for.
_PARTS: dict[str, dict[str, Any]] = {
    "module": {"MLP": MLP, "TabularMLP": TabularMLP},
    "criterion": {c.__name__: c for c in (*CLASS_CRITERIA, *NUMBER_CRITERIA)},
    "optimizer": {
        "SGD": torch.optim.SGD,
        "Adam": torch.optim.Adam,
        "AdamW": torch.optim.AdamW,
        "RMSprop": torch.optim.RMSprop,
    },
    "module__dtype": {"float32": torch.float32, "float64": torch.float64},
}

# Classes of objects that a file may describe by their parameters.
_KINDS: dict[str, dict[str, type]] = {
    "callbacks": {"BestEpoch": BestEpoch, "EarlyStopping": EarlyStopping},
    "train_split": {"MemberFolds": MemberFolds, "ValidSplit": ValidSplit},
}

# Labels of these dtypes are plain numbers and text, as are objects of these types.
_LABEL_DTYPE = re.compile(r"[<>|](?:[biuf][1248]|U[0-9]+)")
_LABEL_TYPES = (str, int, float, bool)

# One long label makes an array of text as wide for all.
_MOST_LABEL_BYTES = 50_000_000


def to_plain(value: Any, name: str, keep: Callable[[Tensor], str] | None = None) -> Any:
    """`value` as JSON holds it; numbers of NumPy become Python's.

    Parameters
    ----------
    value : object
    name : str
        Of the parameter, which says what may be in it, or for the message.
    keep : callable, default=None
        Puts a tensor into the file and returns its name there; ``None`` refuses them.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if type(value) is dict:
        items = value.items()
        return {
            "dict": [[to_plain(part, name, keep) for part in item] for item in items]
        }
    if type(value) in (list, tuple, torch.Size):
        kind = "list" if type(value) is list else "tuple"
        return {kind: [to_plain(item, name, keep) for item in value]}
    if isinstance(value, Tensor) and keep is not None:
        return {"tensor": keep(value)}
    if type(value) in _KINDS.get(name, {}).values():
        params = {
            key: to_plain(part, key)
            for key, part in vars(value).items()
            if not key.endswith("_") and part is not print
        }
        return {"kind": [type(value).__name__, params]}
    for part, known in _PARTS.get(name, {}).items():
        if value is known:
            return {"part": part}
    raise TypeError(
        f"save() keeps None, bool, int, float, str, tuples, lists and dicts of them. "
        f"Got {type(value).__name__} in {name!r} instead; use pickle or joblib."
    )


def from_plain(
    value: Any, name: str, tensor: Callable[[str], Tensor] | None = None
) -> Any:
    """What `to_plain` was given; `tensor` takes one out of the file."""
    if not isinstance(value, dict):
        check(not isinstance(value, list), name, "a plain value", value)
        return value
    check(len(value) == 1, name, "one kind of value", value)
    ((kind, content),) = value.items()
    if kind == "tensor" and tensor is not None:
        return tensor(content)
    if kind == "part":
        is_known = type(content) is str and content in _PARTS.get(name, {})
        check(is_known, name, "a known part", content)
        return _PARTS[name][content]
    is_known = kind in ("kind", "dict", "tuple", "list") and type(content) is list
    check(is_known, name, "a known kind of value", value)
    if kind == "kind":
        return _object_of(content, name)
    if kind == "dict":
        are_pairs = all(type(item) is list and len(item) == 2 for item in content)
        check(are_pairs, name, "a dict of keys and values", content)
        pairs = [[from_plain(part, name, tensor) for part in item] for item in content]
        are_keys = all(isinstance(key, Hashable) for key, _ in pairs)
        check(are_keys, name, "a dict of plain keys", content)
        return dict(pairs)
    items = [from_plain(item, name, tensor) for item in content]
    return tuple(items) if kind == "tuple" else items


def _object_of(content: list[Any], name: str) -> Any:
    known = _KINDS.get(name, {})
    is_whole = [type(part) for part in content] == [str, dict]
    check(is_whole and content[0] in known, name, "of a known kind", content)
    class_name, params = content
    told = {key: from_plain(part, key) for key, part in params.items()}
    return known[class_name](**told)


def plain_labels(labels: np.ndarray) -> dict[str, Any]:
    """Labels and their dtype; text is as wide as the longest label."""
    values = labels.tolist()
    if labels.dtype.kind == "U":
        labels = _text(values)
    dtype = labels.dtype.str if labels.dtype.kind in "biufU" else "object"
    return {"dtype": dtype, "values": [to_plain(v, "classes_") for v in values]}


def labels_of(state: Any) -> np.ndarray:
    """What `plain_labels` was given; no size is taken from the dtype that is told."""
    check(state.keys() == {"dtype", "values"}, "classes", "values and a dtype", state)
    values, dtype = state["values"], state["dtype"]
    check(is_list_of(values, *_LABEL_TYPES), "classes", "a list of labels", values)
    if dtype == "object":
        labels = np.empty(len(values), dtype=object)
        labels[:] = values
    else:
        is_known = type(dtype) is str and _LABEL_DTYPE.fullmatch(dtype)
        check(is_known, "classes", "of a dtype of numbers or text", dtype)
        is_text = dtype[1] == "U"
        check(not is_text or is_list_of(values, str), "classes", "text", values)
        labels = _text(values) if is_text else np.array(values, dtype=dtype)
        is_same = labels.dtype.str == dtype and labels.tolist() == values
        check(is_same, "classes", f"labels of the dtype {dtype[:20]!r}", values)
    is_sorted = len(labels) > 1 and np.array_equal(np.unique(labels), labels)
    check(is_sorted, "classes", "at least 2 sorted labels", values)
    return labels


def _text(values: list[str]) -> np.ndarray:
    n_bytes = 4 * len(values) * max(map(len, values), default=0)
    rule = f"labels that need at most {_MOST_LABEL_BYTES:,} bytes as an array"
    check(n_bytes <= _MOST_LABEL_BYTES, "classes", rule, n_bytes)
    return np.array(values)
