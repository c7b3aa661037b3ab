"""Members that are run one by one: a branch for each."""

from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens._onnx._functions import Function, onnx_function
from sklearn_jointens._onnx._graph import OWN_DOMAIN, Graph
from sklearn_jointens._onnx._parts import (
    ROWS,
    Members,
    add_count,
    first_of,
    number_like,
)
from sklearn_jointens.nn._architecture import why_not_stackable


def add_apart(graph: Graph, members: Members) -> str:
    """Name of the mean of the natural parameters of the members that are on.

    The branch of a member that is off is not run.

    Parameters
    ----------
    graph : Graph
        Is added to.
    members : Members

    Returns
    -------
    str
        NaN where no member is on.
    """
    vectorized = members.vectorized
    modules = [vectorized.member(j).eval() for j in range(vectorized.n_members)]
    are_alike = why_not_stackable(modules) is None
    results = []
    for j, module in enumerate(modules):
        if j == 0 or not are_alike:
            function = _function(f"member_{j}", module, members)
            graph.functions.append(function.proto)
        (result,) = function.outputs
        weights = [
            graph.tensor(tensor.numpy(), f"member_{j}/{name}")
            for name, tensor in _tensors(module).items()
        ]
        is_on = graph.call("Gather", members.mask, graph.tensor(j))
        run = partial(
            graph.call,
            function.proto.name,
            members.matrix,
            *weights,
            domain=OWN_DOMAIN,
        )
        results.append(
            graph.choose(is_on, run, partial(_zeros, graph, members, result), result)
        )
    n_on = graph.call(
        "Cast", add_count(graph, members), to=result.type.tensor_type.elem_type
    )
    return graph.call("Div", graph.call("Sum", *results), n_on)


def _function(name: str, module: nn.Module, members: Members) -> Function:
    """Natural parameters (n_outputs, n_samples) of rows and a member's tensors."""
    tensors = _tensors(module)

    def natural(x: Tensor, *of_member: Tensor) -> Tensor:
        named = dict(zip(tensors, of_member, strict=True))
        # A member may write to what it is given.
        outputs = torch.func.functional_call(module, named, (x.clone(),))
        return members.family.natural(first_of(outputs).unsqueeze(0))[0]

    examples = {ROWS: members.rows, **tensors}
    return onnx_function(name, natural, examples, {ROWS: 0}, ["natural"], members.opset)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    """Tensors by name, tied ones once."""
    named = {**dict(module.named_parameters()), **dict(module.named_buffers())}
    return {name: tensor.detach() for name, tensor in named.items()}


def _zeros(graph: Graph, members: Members, like: Any) -> str:
    """Natural parameters of a member that is off, which add nothing to a sum."""
    n_outputs = like.type.tensor_type.shape.dim[0].dim_value
    n_rows = graph.call("Shape", members.matrix, start=0, end=1)
    shape = graph.call("Concat", graph.tensor([n_outputs]), n_rows, axis=0)
    return graph.call("Expand", graph.tensor(number_like(0, like)), shape)
