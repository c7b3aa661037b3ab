"""What members in a graph have in common, run as one or one by one."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper
from torch import Tensor, nn

from sklearn_jointens._onnx._graph import Graph

# The argument of functions that rows are; no tensor of a module has such a name.
ROWS = "/rows"


class Members(NamedTuple):
    """Members to add to a graph.

    Attributes
    ----------
    modules : list of Module
        On the CPU, for evaluation.
    natural : callable
        Makes natural parameters (n_members, n_outputs, n_samples) of outputs.
    rows : Tensor of shape (n_samples, ...)
        Examples to follow the modules with.
    matrix : str
        Name of the rows in the graph.
    mask : str
        Name of which members are on, bool of shape (n_members,).
    opset : int
        Version of ONNX's operators.
    """

    modules: list[nn.Module]
    natural: Callable[[Any], Tensor]
    rows: Tensor
    matrix: str
    mask: str
    opset: int


def add_count(graph: Graph, members: Members) -> str:
    """Name of the number of members that are on."""
    is_on = graph.call("Cast", members.mask, to=TensorProto.INT64)
    return graph.call("ReduceSum", is_on, keepdims=0)


def number_like(value: float, like: ValueInfoProto) -> np.ndarray:
    """A number in the dtype of a value in a graph."""
    dtype = helper.tensor_dtype_to_np_dtype(like.type.tensor_type.elem_type)
    return np.array(value, dtype=dtype)
