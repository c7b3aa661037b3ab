"""The members in a graph: what they put out, averaged over those that are on."""

from typing import Any

import torch
from torch import Tensor

from sklearn_jointens._onnx._apart import add_apart
from sklearn_jointens._onnx._graph import Graph
from sklearn_jointens._onnx._parts import Members
from sklearn_jointens._onnx._together import add_together, ways_together
from sklearn_jointens.nn._copying import copy_of

# To follow modules with: torch takes a length of 1, or that of another axis, for fixed.
_N_ROWS = 5


def add_members(
    graph: Graph, net: Any, rows: Tensor, matrix: str, mask: str, opset: int
) -> str:
    """Name of the ensemble's natural parameters, (n_outputs, n_samples).

    Parameters
    ----------
    graph : Graph
        Is added to.
    net : JointNet
    rows : Tensor of shape (n_samples, ...)
        Some, as members take them.
    matrix : str
        Name of the rows in the graph.
    mask : str
        Name of which members are on.
    opset : int
        Version of ONNX's operators.

    Returns
    -------
    str
        NaN where no member is on.

    Raises
    ------
    torch.onnx.OnnxExporterError
        torch cannot follow the members' module.
    """
    vectorized = copy_of(net.plain_module).cpu().eval()
    examples = rows[torch.arange(_N_ROWS) % len(rows)]
    members = Members(vectorized, net.prediction_family_, examples, matrix, mask, opset)
    for way in ways_together(vectorized):
        try:
            return add_together(graph, members, way)
        except torch.onnx.OnnxExporterError:
            continue
    return add_apart(graph, members)
