"""What the entries of a file have to be, before anything is made of them."""

import math
import reprlib
from typing import Any

# Long enough for a label or a setting, and too short for what a file may make of them.
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60

_LONGEST_REASON = 300

_LARGEST = 2**63 - 1

# Seeds that members may ever have had; that many are drawn when they go on.
_MOST_DRAWN = 2**20


class WrongEntry(ValueError):
    """What a file says is not what it must be; the message says how."""


def check(is_right: Any, name: str, rule: str, value: Any) -> None:
    """Raise WrongEntry unless an entry keeps its rule."""
    if not is_right:
        raise WrongEntry(f"'{name}' must be {rule}. Got {_SHORT.repr(value)} instead")


def in_short(error: Exception) -> str:
    """What is wrong, as the end of a sentence."""
    text = str(error).partition("\n")[0][:_LONGEST_REASON].rstrip(".")
    return text if isinstance(error, WrongEntry) else f"{type(error).__name__}: {text}"


def is_list_of(value: Any, *types: type) -> bool:
    """Whether `value` is a list of these types alone; a bool is no int."""
    return type(value) is list and all(type(item) in types for item in value)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and not abs(value) > _LARGEST


def is_size(value: Any) -> bool:
    """Whether `value` may be a number of entries."""
    return type(value) is int and 0 < value <= _LARGEST


def _are_sizes(value: Any) -> bool:
    is_shape = type(value) is list and 0 < len(value) < 32
    return is_shape and all(map(is_size, value)) and is_size(math.prod(value))


def _are_seeds(value: Any) -> bool:
    return is_list_of(value, int) and all(0 <= seed <= _LARGEST for seed in value)


def _are_draws(value: Any) -> bool:
    if type(value) is not list or len(value) != 4:
        return False
    seeds, seed_of_folds, places, n_drawn = value
    return (
        _are_seeds(seeds)
        and _are_seeds([seed_of_folds])
        and _are_seeds([*places, n_drawn])
        and max(places, default=0) < n_drawn < _MOST_DRAWN
    )


def _is_vectorization(value: Any) -> bool:
    if type(value) is not list or len(value) != 4:
        return False
    method, reason, max_error, options = value
    return (
        method in ("structural", "vmap", "loop")
        and type(reason) is str
        and (max_error is None or _is_number(max_error))
        and type(options) is dict
        and set(options) <= {"channels_last"}
        and is_list_of(list(options.values()), bool)
    )


def are_numbers(value: Any) -> bool:
    """Whether `value` is a list of numbers."""
    return type(value) is list and all(map(_is_number, value))


_ENTRIES: dict[str, tuple[Any, str]] = {
    "params": (lambda v: type(v) is dict, "a dict of parameters"),
    "prototype": (lambda v: v is None or type(v) in (str, dict), "a prototype"),
    "targets": (lambda v: type(v) is dict, "what y holds"),
    "n_features_in": (is_size, "a positive int"),
    "feature_names_in": (lambda v: v is None or is_list_of(v, str), "a list of names"),
    "row_shape": (_are_sizes, "a list of positive ints"),
    "allows_nan": (lambda v: type(v) is bool, "a bool"),
    "table": (lambda v: v is None or type(v) is dict, "what was learned of a table"),
    "draws": (_are_draws, "seeds and places of the members"),
    "dtype": (lambda v: v in ("float32", "float64"), "'float32' or 'float64'"),
    "member_scores": (are_numbers, "a list of numbers"),
    "oob_score": (lambda v: v is None or _is_number(v), "None or a number"),
    "vectorization": (_is_vectorization, "a known way of running the members"),
    "history": (lambda v: is_list_of(v, dict), "a list of epochs"),
    "members": (lambda v: is_list_of(v, dict), "a list of members"),
}


def check_entries(state: Any, n_members: int) -> None:
    """Raise WrongEntry unless a file's state has all entries, and each is right.

    Parameters
    ----------
    state : object
        As JSON gives it.
    n_members : int
        As there are tensors of.
    """
    for name in _ENTRIES.keys() ^ state.keys():
        there = "an entry that is there" if name in _ENTRIES else "no entry"
        raise WrongEntry(f"{name!r} must be {there}")
    for name, (is_right, rule) in _ENTRIES.items():
        check(is_right(state[name]), name, rule, state[name])
    seeds, _, places, _ = state["draws"]
    for name, values in {
        "members": state["members"],
        "member_scores": state["member_scores"],
        "draws": seeds,
        "places": places,
    }.items():
        rule = f"of the {n_members} members that there are tensors of"
        check(len(values) == n_members, name, rule, values)
    names, shape = state["feature_names_in"], state["row_shape"]
    rule = f"as many as the rows have, {shape[0]}"
    check(state["n_features_in"] == shape[0], "n_features_in", rule, shape)
    if names is not None:
        check(len(names) == shape[0], "feature_names_in", rule, names)
