"""A fitted ensemble as an ONNX model."""

from typing import Any

import onnx
import torch
from onnx import ModelProto, TensorProto, ValueInfoProto, helper
from onnxscript import ir

from sklearn_jointens._members import plain_modules
from sklearn_jointens._onnx._answers import add_answers, natural_of
from sklearn_jointens._onnx._graph import MASK, ML_DOMAIN, OWN_DOMAIN, Graph
from sklearn_jointens._onnx._members import add_members
from sklearn_jointens._onnx._rows import add_matrix, numpy_dtype

# What torch's exporter writes by itself, and what runtimes have long known.
OPSET = 18
_ML_OPSET = 3

# Functions become part of the graph. What is left out: tensors that only training has a
# use for, and the lines of Python that torch notes, with their paths on this machine.
_finish = ir.passes.Sequential(
    ir.passes.common.InlinePass(),
    ir.passes.common.RemoveUnusedNodesPass(),
    ir.passes.common.RemoveUnusedOpsetsPass(),
    ir.passes.common.ClearMetadataAndDocStringPass(),
)


def model_of(
    ensemble: Any,
    array: Any,
    inputs: list[ValueInfoProto],
    opset: int = OPSET,
    mask_follows_rows: bool = False,
) -> ModelProto:
    """The ensemble as a model, checked by ONNX's own rules.

    Parameters
    ----------
    ensemble : fitted ensemble
    array : ndarray of shape (n_samples, ...)
        Some rows, as the ensemble's net takes them.
    inputs : list of ValueInfoProto
        Of what the graph takes besides the mask of members.
    opset : int, default=18
        Version of ONNX's operators.
    mask_follows_rows : bool, default=False
        Whether the nodes that look at the mask come after those that make the rows,
        also in the eyes of one who does not look into branches.

    Raises
    ------
    ValueError
        torch cannot follow the members' module.
    """
    net, graph = ensemble.net_, Graph()
    dtype = net.input_dtypes_.of(array)
    kind = helper.np_dtype_to_tensor_dtype(numpy_dtype(dtype))
    kinds = {value.name: value.type.tensor_type.elem_type for value in inputs}
    matrix = add_matrix(graph, ensemble, kinds, kind)
    rows = torch.as_tensor(array).to(dtype)
    mask = _mask_after(graph, matrix) if mask_follows_rows else MASK
    try:
        natural = add_members(graph, net, rows, matrix, mask, opset)
        outputs = add_answers(graph, net, natural, natural_of(net, array), opset)
    except torch.onnx.OnnxExporterError as error:
        raise ValueError(_what_torch_says(ensemble, error)) from error
    imports = [
        helper.make_opsetid("", opset),
        helper.make_opsetid(ML_DOMAIN, _ML_OPSET),
        helper.make_opsetid(OWN_DOMAIN, 1),
    ]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            type(ensemble).__name__,
            [*inputs, _mask_of(ensemble)],
            outputs,
            graph.tensors,
        ),
        functions=graph.functions,
        opset_imports=imports,
        ir_version=helper.find_min_ir_version_for(imports, ignore_unknown=True),
        producer_name="sklearn_jointens",
    )
    model = ir.to_proto(_finish(ir.from_proto(model)).model)
    onnx.checker.check_model(model, full_check=True)
    return model


def _mask_of(ensemble: Any) -> ValueInfoProto:
    return helper.make_tensor_value_info(
        MASK,
        TensorProto.BOOL,
        [len(ensemble.estimators_)],
        "Which members are on. Where none is, answers are NaN.",
    )


def _mask_after(graph: Graph, rows: str) -> str:
    """The mask as it is, made of the rows too."""
    n_rows = graph.call("Shape", rows, start=0, end=1)
    is_any_number = graph.call("GreaterOrEqual", n_rows, graph.tensor([0]))
    return graph.call("And", MASK, is_any_number)


def _what_torch_says(ensemble: Any, error: BaseException) -> str:
    """Why the members' module cannot be exported."""
    cause = error
    while cause.__cause__ is not None:
        cause = cause.__cause__
    (module,) = plain_modules(ensemble.estimators_[:1])
    first, *others = str(cause).strip().split("\n\n")
    said = " ".join([first, *(part.strip() for part in others if "File " in part)])
    return (
        "The 'module' of the member (and its 'predict_nonlinearity', where it has one) "
        "must be what torch.export can follow: it uses operations that ONNX has, and "
        "does not decide by numbers, or by the number of rows, what to compute (take "
        "that number from x.shape[0], not from len(x)). "
        f"Got {type(module).__name__}, of which torch says: {said}"
    )
