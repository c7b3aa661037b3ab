"""What torch computes, as functions of an ONNX model."""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from onnx import FunctionProto, GraphProto, ValueInfoProto, helper
from onnxscript import ir
from torch import Tensor, nn

from sklearn_jointens._onnx._graph import OWN_DOMAIN
from sklearn_jointens._onnx._tall import with_tall_products

# Where torch says no more than that an axis is shorter, it may have any length.
_MANY = 2**31

# What torch and onnx_ir warn of in code of their own.
_OF_LIBRARIES: dict[str, type[Warning]] = {
    r"`isinstance\(treespec, LeafSpec\)` is deprecated": FutureWarning,
    "_check_is_size will be removed": FutureWarning,
    "overflow encountered in cast": RuntimeWarning,  # of a bound that is no bound
}


class Function(NamedTuple):
    """A function that a graph can call.

    Attributes
    ----------
    proto : FunctionProto
    outputs : list of ValueInfoProto
        Types and shapes of what it makes.
    """

    proto: FunctionProto
    outputs: list[ValueInfoProto]


class _Called(nn.Module):
    def __init__(self, call: Callable[..., Any]) -> None:
        super().__init__()
        self.call = call

    def forward(self, *tensors: Tensor) -> Any:
        return self.call(*tensors)


def onnx_function(
    name: str,
    call: Callable[..., Any],
    tensors: Mapping[str, Tensor],
    free: Mapping[str, int],
    outputs: list[str],
    opset: int,
) -> Function:
    """Follow a function of torch, and write down what it does.

    Parameters
    ----------
    name : str
    call : callable
        Takes the tensors in their order; makes a tensor, or a tuple of tensors.
    tensors : mapping of str to Tensor
        Examples of its arguments, by their names in ONNX.
    free : mapping of str to int
        By argument, an axis that may have any length.
    outputs : list of str
        Names of what it makes.
    opset : int
        Version of ONNX's operators.

    Returns
    -------
    Function

    Raises
    ------
    torch.onnx.OnnxExporterError
        torch cannot follow it, or only for axes of the length that they have.
    """
    shapes = [
        {free[key]: torch.export.Dim.DYNAMIC} if key in free else {} for key in tensors
    ]
    with _quiet():
        program = torch.onnx.export(
            _Called(call).eval(),
            tuple(tensors.values()),
            dynamic_shapes=(tuple(shapes),),
            input_names=list(tensors),
            output_names=outputs,
            opset_version=opset,
            dynamo=True,
            verbose=False,
        )
    model = ir.to_proto(with_tall_products(program.model))
    graph, opsets = model.graph, model.opset_import
    _check_free(program.exported_program, graph, free)
    constants = [
        helper.make_node("Constant", [], [tensor.name], value=tensor)
        for tensor in graph.initializer
    ]
    proto = helper.make_function(
        OWN_DOMAIN,
        name,
        [value.name for value in graph.input],
        [value.name for value in graph.output],
        [*constants, *graph.node],
        list(opsets),
    )
    return Function(proto, list(graph.output))


def _check_free(
    program: torch.export.ExportedProgram, graph: GraphProto, free: Mapping[str, int]
) -> None:
    """Raise unless what was followed is the same for axes of any length."""
    lengths = [
        str(length)
        for length in program.range_constraints.values()
        if length.lower > 1 or length.upper < _MANY
    ]
    for value in graph.input:
        if value.name in free:
            axis = value.type.tensor_type.shape.dim[free[value.name]]
            lengths += [] if axis.dim_param else [str(axis.dim_value)]
    if lengths:
        raise torch.onnx.OnnxExporterError(
            f"What is computed depends on the number of rows: {lengths[0]}"
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what libraries say of their own code, which nobody here can change.

    Neither that torchvision, whose operators no member has, is not installed.
    """
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")

    def is_news(record: logging.LogRecord) -> bool:
        return "torchvision is not installed" not in record.getMessage()

    logger.addFilter(is_news)
    try:
        with warnings.catch_warnings():
            for message, category in _OF_LIBRARIES.items():
                warnings.filterwarnings("ignore", message, category)
            yield
    finally:
        logger.removeFilter(is_news)
