"""Rows of X as a graph is given them: one array, or the columns of a frame."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from onnx import TensorProto, ValueInfoProto, helper
from scipy import sparse

from sklearn_jointens._checks import check_X
from sklearn_jointens._onnx._answers import names_of_answers
from sklearn_jointens._onnx._graph import MASK, ML_DOMAIN, Graph

_ARRAY = "X"
# So many, where the user gives none.
_N_ROWS = 7


class Rows(NamedTuple):
    """Some rows, as a graph is fed with them and as a net takes them.

    Attributes
    ----------
    fed : dict of str to ndarray
        By name of the input.
    array : ndarray of shape (n_samples, ...)
        Numbers, and codes of categories.
    """

    fed: dict[str, np.ndarray]
    array: np.ndarray

    @property
    def inputs(self) -> list[ValueInfoProto]:
        """Types and shapes of the inputs."""
        return [
            helper.make_tensor_value_info(
                name,
                helper.np_dtype_to_tensor_dtype(values.dtype),
                ["n_samples", *values.shape[1:]],
            )
            for name, values in self.fed.items()
        ]


def rows_of(ensemble: Any, example: Any = None) -> Rows:
    """Rows that a graph of the ensemble has to take.

    Parameters
    ----------
    ensemble : fitted ensemble
    example : array-like of shape (n_samples, ...), default=None
        ``None`` makes some up, in the dtype that members take.

    Raises
    ------
    ValueError
        The example is sparse, or not what the ensemble was fitted on.
    """
    columns, categories = ensemble._columns, categories_of(ensemble)
    if sparse.issparse(example):
        raise ValueError(
            "The 'example' parameter of to_onnx must be dense, as the rows are that a "
            "graph takes: give some as X[:10].toarray(). "
            f"Got {type(example).__name__} instead."
        )
    if example is not None:
        array = check_X(ensemble, example)
    else:
        dtype = _dtype_of_members(ensemble.net_)
        example = _made_up(ensemble, categories, dtype)
        array = columns.transform(example).astype(dtype) if categories else example
    if not categories:
        return Rows({_ARRAY: array}, array)
    _check_names(ensemble, columns.names)
    fed = {name: array[:, [i]] for i, name in enumerate(columns.names)}
    given = columns.categories(example).T
    for (place, known), values in zip(categories.items(), given, strict=True):
        if _are_text(known):
            column = np.array(["" if v != v else v for v in values], dtype=object)
        else:
            column = values.astype(array.dtype)
        fed[columns.names[place]] = column[:, np.newaxis]
    return Rows(fed, array)


def categories_of(ensemble: Any) -> dict[int, np.ndarray]:
    """Known categories by column, of those columns that hold categories.

    Raises
    ------
    ValueError
        They are neither text nor numbers.
    """
    columns = ensemble._columns
    if columns is None or not columns.is_category.any():
        return {}
    places = np.flatnonzero(columns.is_category).tolist()
    categories = dict(zip(places, columns.encoder.categories_, strict=True))
    for place, known in categories.items():
        if not (_are_text(known) or _are_numbers(known)):
            kinds = sorted({type(value).__name__ for value in known})
            raise ValueError(
                "The columns of 'X' that are categories must hold text or numbers, "
                f"which are what ONNX has. Got {kinds} in the column "
                f"{columns.names[place]!r} instead."
            )
    return categories


def add_matrix(
    graph: Graph, ensemble: Any, inputs: Mapping[str, int], kind: int
) -> str:
    """Name of the rows as members take them.

    Parameters
    ----------
    graph : Graph
        Is added to.
    ensemble : fitted ensemble
    inputs : mapping of str to int
        ONNX's numbers of the inputs' dtypes, by name, in the order of the columns.
    kind : int
        That of the dtype that members take.
    """
    categories, parts = categories_of(ensemble), []
    for i, (name, given) in enumerate(inputs.items()):
        if i in categories:
            are_text = _are_text(categories[i])
            add_codes = _add_codes_of_text if are_text else _add_codes_of_numbers
            name, given = add_codes(graph, name, categories[i])
        parts.append(name if given == kind else graph.call("Cast", name, to=kind))
    return parts[0] if len(parts) == 1 else graph.call("Concat", *parts, axis=1)


def _add_codes_of_text(graph: Graph, name: str, known: np.ndarray) -> tuple[str, int]:
    """Codes of categories: their places, -1 of another, NaN of "", which is missing."""
    codes = {text: float(code) for code, text in enumerate(known) if text == text}
    if len(codes) < len(known):
        codes.setdefault("", np.nan)
    made = graph.call(
        "LabelEncoder",
        name,
        domain=ML_DOMAIN,
        keys_strings=list(codes),
        values_floats=list(codes.values()),
        default_float=-1.0,
    )
    return made, TensorProto.FLOAT


def _add_codes_of_numbers(
    graph: Graph, name: str, known: np.ndarray
) -> tuple[str, int]:
    """Codes of categories: their places, -1 of another, NaN of a missing one."""
    numbers = known.astype(np.float64)
    number = graph.call("Cast", name, to=TensorProto.DOUBLE)
    is_it = graph.call("Equal", number, graph.tensor(numbers[np.newaxis]))
    is_it = graph.call("Cast", is_it, to=TensorProto.DOUBLE)
    places = graph.tensor(np.arange(1.0, len(known) + 1)[:, np.newaxis])
    made = graph.call("Sub", graph.call("MatMul", is_it, places), graph.tensor(1.0))
    if np.isnan(numbers).any():
        is_missing = graph.call("IsNaN", number)
        made = graph.call("Where", is_missing, graph.tensor(np.nan), made)
    return made, TensorProto.DOUBLE


def _are_text(known: np.ndarray) -> bool:
    return all(isinstance(value, str) or value != value for value in known)


def _are_numbers(known: np.ndarray) -> bool:
    return all(isinstance(v, int | float | np.number | np.bool_) for v in known)


def _check_names(ensemble: Any, columns: Sequence[str]) -> None:
    taken = [MASK, *names_of_answers(ensemble.net_)]
    for i, name in enumerate(columns):
        if name in [*taken, *columns[:i], ""]:
            raise ValueError(
                "The columns of 'X' must have names that differ, and are none of "
                f"{taken}, which a graph's other inputs and outputs have. "
                f"Got {list(columns)} instead."
            )


def _made_up(
    ensemble: Any, categories: Mapping[int, np.ndarray], dtype: np.dtype
) -> np.ndarray:
    """Rows as they may be: numbers, and each category."""
    shape = (_N_ROWS, *ensemble._row_shape)
    if dtype.kind != "f":
        return np.zeros(shape, dtype=dtype)
    rows = np.random.RandomState(0).normal(size=shape).astype(dtype)
    rows = rows.astype(object) if categories else rows
    for place, known in categories.items():
        rows[:, place] = np.resize(known, _N_ROWS)
    return rows


def _dtype_of_members(net: Any) -> np.dtype:
    dtypes = net.input_dtypes_
    takes_integers = not dtypes.of_integers.is_floating_point
    return numpy_dtype(dtypes.of_integers if takes_integers else dtypes.of_floats)


def numpy_dtype(dtype: torch.dtype) -> np.dtype:
    """A dtype of torch as NumPy calls it."""
    return torch.empty(0, dtype=dtype).numpy().dtype
