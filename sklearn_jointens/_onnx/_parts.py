"""What members in a graph have in common, run as one or one by one."""

from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper
from torch import Tensor

from sklearn_jointens._onnx._graph import Graph
from sklearn_jointens.losses import Family
from sklearn_jointens.nn import VectorizedModule

# The argument of functions that rows are; no tensor of a module has such a name.
ROWS = "/rows"


class Members(NamedTuple):
    """Members to add to a graph.

    Attributes
    ----------
    vectorized : VectorizedModule
        On the CPU, for evaluation.
    family : Family
        Of what is predicted.
    rows : Tensor of shape (n_samples, ...)
        Examples to follow the modules with.
    matrix : str
        Name of the rows in the graph.
    mask : str
        Name of which members are on, bool of shape (n_members,).
    opset : int
        Version of ONNX's operators.
    """

    vectorized: VectorizedModule
    family: Family
    rows: Tensor
    matrix: str
    mask: str
    opset: int


def first_of(outputs: Any) -> Tensor:
    """What counts of what a module puts out."""
    return outputs[0] if isinstance(outputs, tuple) else outputs


def add_count(graph: Graph, members: Members) -> str:
    """Name of the number of members that are on."""
    is_on = graph.call("Cast", members.mask, to=TensorProto.INT64)
    return graph.call("ReduceSum", is_on, keepdims=0)


def number_like(value: float, like: ValueInfoProto) -> np.ndarray:
    """A number in the dtype of a value in a graph."""
    dtype = helper.tensor_dtype_to_np_dtype(like.type.tensor_type.elem_type)
    return np.array(value, dtype=dtype)
