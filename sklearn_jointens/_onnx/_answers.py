"""What a graph says: outputs with the names that skl2onnx gives them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from onnx import ValueInfoProto, helper
from torch import Tensor

from sklearn_jointens._onnx._functions import onnx_function
from sklearn_jointens._onnx._graph import OWN_DOMAIN, Graph
from sklearn_jointens.training._targets import ClassTargets, NumberTargets

LABEL, PROBABILITIES = "label", "probabilities"
NUMBERS, STD = "variable", "std"
_INDEX = "/index"


def names_of_answers(net: Any) -> list[str]:
    """Names of what a graph says, the first of which is what `predict` returns."""
    if not isinstance(net.targets_, NumberTargets):
        return [LABEL, PROBABILITIES]
    has_std = hasattr(net.prediction_family_, "std")
    return [NUMBERS, STD] if has_std else [NUMBERS]


def add_answers(
    graph: Graph, net: Any, natural: str, example: Tensor, opset: int
) -> list[ValueInfoProto]:
    """Add all that is said of the ensemble's natural parameters.

    Parameters
    ----------
    graph : Graph
        Is added to.
    net : JointNet
    natural : str
        Name of the natural parameters, (n_outputs, n_samples).
    example : Tensor of shape (n_outputs, n_samples)
    opset : int
        Version of ONNX's operators.

    Returns
    -------
    list of ValueInfoProto
        Of the outputs.
    """
    names, of_classes = names_of_answers(net), isinstance(net.targets_, ClassTargets)
    made = [_INDEX, PROBABILITIES] if of_classes else names
    function = onnx_function(
        "answers", _answers(net), {"/natural": example}, {"/natural": 1}, made, opset
    )
    graph.functions.append(function.proto)
    graph.call_for(made, "answers", natural, domain=OWN_DOMAIN)
    types = [value.type.tensor_type for value in function.outputs]
    kinds = [one.elem_type for one in types]
    if of_classes:
        classes = graph.tensor(plain_classes(net.targets_.classes))
        graph.call("Gather", classes, _INDEX, output=LABEL)
        kinds[0] = graph.tensors[-1].data_type
    sizes = [[dim.dim_value for dim in one.shape.dim[1:]] for one in types]
    return [
        helper.make_tensor_value_info(name, kind, ["n_samples", *size])
        for name, kind, size in zip(names, kinds, sizes, strict=True)
    ]


def plain_classes(classes: np.ndarray) -> np.ndarray:
    """Classes in a dtype that ONNX has: strings, int64, floats or bools."""
    values = classes.tolist()
    if all(isinstance(value, str) for value in values):
        return np.array(values, dtype=object)
    if classes.dtype.kind in "iu":
        return classes.astype(np.int64)
    if classes.dtype in (np.float32, np.float64, np.bool_):
        return classes
    raise ValueError(
        "The 'y' that was fitted must hold classes that are text, integers, floats or "
        f"bools, which are what ONNX has. Got {classes.dtype} instead, "
        f"{values[:3]} among them."
    )


def answers_to(net: Any, array: np.ndarray, members: Any = None) -> dict[str, Any]:
    """What a graph has to say of rows, by the names of its outputs.

    Parameters
    ----------
    net : JointNet
    array : ndarray of shape (n_samples, ...)
        As the net takes it.
    members : array-like of int or None, default=None
        Those that are on; ``None`` is all.
    """
    natural = natural_of(net, array, members)
    made = _answers(net)(natural)
    made = made if isinstance(made, tuple) else (made,)
    answers = [one.numpy() for one in made]
    if isinstance(net.targets_, ClassTargets):
        answers[0] = plain_classes(net.targets_.classes)[answers[0]]
    return dict(zip(names_of_answers(net), answers, strict=True))


def natural_of(net: Any, array: np.ndarray, members: Any = None) -> Tensor:
    """The ensemble's natural parameters of rows, (n_outputs, n_samples)."""
    chunks = net.natural_iter(array, members)
    return torch.cat([natural.mean(0).cpu() for natural, _ in chunks], 1)


def _answers(net: Any) -> Callable[[Tensor], Any]:
    """What makes answers of natural parameters."""
    family, targets = net.prediction_family_, net.targets_

    def of_classes(natural: Tensor) -> Any:
        predicted = family.predicted(natural)
        return family.decide(predicted), predicted

    def of_numbers(natural: Tensor) -> Any:
        predicted = family.predicted(natural)
        if not targets.is_plain:
            predicted = predicted * unit + origin
        if not hasattr(family, "std"):
            return predicted
        std = family.std(natural)
        return predicted, std if targets.is_plain else std * unit

    if not isinstance(targets, NumberTargets):
        return of_classes
    unit, origin = torch.tensor(targets.unit), torch.tensor(targets.origin)
    return of_numbers
