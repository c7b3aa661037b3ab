"""The prototype in a file, and what members for tables have learned of the data."""

import inspect
from typing import Any

import torch
from torch import Tensor

from sklearn_jointens._mlp import mlp_classifier, mlp_regressor
from sklearn_jointens._persistence._alike import alike
from sklearn_jointens._persistence._plain import from_plain, to_plain
from sklearn_jointens._persistence._rules import check, is_list_of
from sklearn_jointens._tabular import tabular_classifier, tabular_regressor
from sklearn_jointens.nn import TabularEncoding
from sklearn_jointens.training import (
    ColumnCodes,
    MemberNetClassifier,
    MemberNetRegressor,
    TabularNet,
    TabularNetClassifier,
    TabularNetRegressor,
    unfitted_net,
)

# The functions that make the prototypes that a file can hold, by their classes.
_MAKERS: dict[str, Any] = {
    MemberNetClassifier.__name__: mlp_classifier,
    MemberNetRegressor.__name__: mlp_regressor,
    TabularNetClassifier.__name__: tabular_classifier,
    TabularNetRegressor.__name__: tabular_regressor,
}

# What skorch routes by the beginnings of names.
_ROUTED = (
    *("module", "criterion", "optimizer", "iterator_train", "iterator_valid"),
    *("callbacks", "dataset", "compile"),
)
_NUMBERS = ("lr", "max_epochs", "batch_size", "optimizer__weight_decay")


def plain_prototype(prototype: Any) -> Any:
    """A prototype of known parts as JSON; None when `load` has to be given it."""
    if prototype is None:
        return "default"
    make = _MAKERS.get(type(prototype).__name__)
    if make is None or type(make()) is not type(prototype):
        return None
    default = make().get_params(deep=False)
    try:
        params = {
            name: to_plain(value, name)
            for name, value in prototype.get_params(deep=False).items()
            if not name.startswith("_")
            and not (name in default and value is default[name])
        }
    except TypeError:
        return None
    return {"class": type(prototype).__name__, "params": params}


def prototype_of(state: Any, n_tensors: int) -> Any:
    """What `plain_prototype` was given, for members of so many tensors."""
    if state == "default":
        return None
    is_known = isinstance(state, dict) and state.keys() == {"class", "params"}
    check(is_known, "prototype", "a class and its parameters", state)
    class_name, told = state["class"], state["params"]
    is_class = type(class_name) is str and class_name in _MAKERS
    check(is_class, "prototype", "of a known class", class_name)
    check(type(told) is dict, "prototype", "of named settings", told)
    default = _MAKERS[class_name]()
    known = default.get_params(deep=False)
    params = {}
    for name, value in told.items():
        prefix, routes, _ = name.partition("__")
        is_setting = name in known or (routes and prefix in _ROUTED)
        check(is_setting, "prototype", "of known settings", name)
        params[name] = from_plain(value, name)
        check_setting(name, params[name], known.get(name))
    hidden = params.get("module__hidden_layer_sizes")
    if isinstance(hidden, list | tuple):
        # As many layers are made before their shapes can be compared.
        rule = f"layers of the {n_tensors} tensors of a member"
        check(len(hidden) <= n_tensors, "module__hidden_layer_sizes", rule, hidden)
    return unfitted_net(default, **params)


def check_setting(name: str, value: Any, default: Any) -> None:
    """Raise ValueError when a setting is not of a kind that can be used."""
    is_number = type(value) in (int, float) and abs(value) < 2**63
    if name in _NUMBERS:
        check(is_number or value == default, name, "a number", value)
    if name == "device":
        is_known = value is None or value == "auto"
        is_device = is_known or torch.device(value).type != "meta"
        check(is_device, name, "a device that has memory", value)


# -- members for tables ----------------------------------------------------------------


def plain_table(member: Any, columns: Any) -> dict[str, Any] | None:
    """What members for tables have learned of the data; their encoding is tensors."""
    if not isinstance(member, TabularNet):
        return None
    params = member.get_params(deep=False)
    return {
        "settled": {
            name: to_plain(params[name], name)
            for name in member.settled_names
            if name in params
        },
        "columns": None if columns is None else to_plain(columns.state(), "columns"),
    }


def settled_by(
    prototype: Any,
    table: Any,
    groups: list[dict[str, Tensor]],
    n_columns: int,
    names: list[str] | None,
) -> tuple[Any, ColumnCodes | None]:
    """The prototype that is told what `plain_table` has kept, and the columns.

    Parameters
    ----------
    prototype : skorch classifier
    table : dict or None
    groups : list of dict of str to Tensor
        Of each member.
    n_columns : int
    names : list of str or None
        Of the columns, where they are text.
    """
    needs_one = isinstance(prototype, TabularNet)
    is_right = needs_one == (table is not None)
    check(is_right, "table", "as the prototype needs it", table)
    if table is None:
        return prototype, None
    is_whole = table.keys() == {"settled", "columns"}
    is_whole = is_whole and type(table["settled"]) is dict
    check(is_whole, "table", "columns and settings", table)
    said = {}
    for name, value in table["settled"].items():
        check(name in prototype.settled_names, "table", "of known settings", name)
        said[name] = from_plain(value, name)
        check_setting(name, said[name], None)
    encoding = _encoding(groups, n_columns)
    columns = None
    if table["columns"] is not None:
        state = from_plain(table["columns"], "columns")
        _check_columns(state, n_columns, names)
        columns = ColumnCodes.of_state(state)
    return unfitted_net(prototype, module__encoding=encoding, **said), columns


def _check_columns(state: Any, n_columns: int, seen: list[str] | None) -> None:
    entries = ("names", "is_category", "categories")
    is_whole = isinstance(state, dict) and state.keys() == set(entries)
    check(is_whole, "columns", f"a dict of {entries}", state)
    names, is_category, categories = (state[name] for name in entries)
    is_named = is_list_of(names, str) and (seen is None or names == seen)
    check(is_named, "columns", "named as the features are", names)
    check(is_list_of(is_category, bool), "columns", "categories or not", is_category)
    check(is_list_of(categories, list), "columns", "lists of categories", categories)
    sizes = (len(names), len(is_category), len(categories))
    expected = (n_columns, n_columns, sum(is_category))
    check(sizes == expected, "columns", f"of {expected} names and categories", sizes)
    for known in categories:
        is_known = known and is_list_of(known, str, int, float, bool, type(None))
        check(is_known, "columns", "of categories that are text or numbers", known)


def _encoding(groups: list[dict[str, Tensor]], n_columns: int) -> TabularEncoding:
    """The encoding of a table, which is one for all members."""
    names = inspect.signature(TabularEncoding).parameters
    for name in names:
        is_there = all(f"encoding.{name}" in tensors for tensors in groups)
        check(is_there, f"encoding.{name}", "there in all members", None)
    parts = {name: groups[0][f"encoding.{name}"] for name in names}
    for name, part in parts.items():
        is_one = all(alike(tensors[f"encoding.{name}"], part) for tensors in groups)
        check(is_one, f"encoding.{name}", "the same in all members", "another")
    groups = (
        ("number_columns", "center", "scale"),
        ("bin_numbers", "bin_starts", "bin_slopes"),
        ("category_columns", "category_codes"),
        ("missing_columns",),
    )
    for group in groups:
        shapes = [tuple(parts[name].shape) for name in group]
        expected = [(parts[group[0]].numel(),)] * len(group)
        check(shapes == expected, f"encoding.{group[0]}", "of one shape", shapes)
    for name, part in parts.items():
        is_place = name.endswith("_columns") or name == "bin_numbers"
        dtypes = (torch.int64,) if is_place else (torch.float32, torch.float64)
        check(part.dtype in dtypes, f"encoding.{name}", f"of {dtypes}", part.dtype)
        if is_place and len(part):
            stop = len(parts["center"]) if name == "bin_numbers" else n_columns
            is_inside = part.min() >= 0 and part.max() < stop
            check(is_inside, f"encoding.{name}", f"places below {stop}", part.tolist())
    return TabularEncoding(**parts)
