"""Members that are run as one: a batched graph, of all or of some."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_jointens._onnx._functions import onnx_function
from sklearn_jointens._onnx._graph import OWN_DOMAIN, Graph
from sklearn_jointens._onnx._parts import (
    ROWS,
    Members,
    add_count,
    first_of,
    number_like,
)
from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.nn._copying import named_tensors

# Members to follow the function with: torch takes a length of 1, or that of another
# axis, for fixed.
_N_EXAMPLES = 3

_GROUPED = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


class Together(NamedTuple):
    """All members as a function of their tensors.

    Attributes
    ----------
    run : callable
        Makes outputs (n_members, n_samples, ...) of rows and a dict of tensors.
    own : dict of str to Tensor of shape (n_members, ...)
        What is each member's own.
    shared : dict of str to Tensor
        What all have in common, which is kept once: the encoding of a table, say.
    """

    run: Callable[[Tensor, dict[str, Tensor]], Any]
    own: dict[str, Tensor]
    shared: dict[str, Tensor]


def ways_together(vectorized: VectorizedModule) -> Iterator[Together]:
    """Ways to run any number of members at once, the fastest in a graph first.

    None of members that each have tensors of their own; nor of convolutions, whose
    groups, one for each member, are a number that an ONNX graph has written down.
    """
    one = vectorized.member(0).eval()
    if not vectorized.is_stacked or any(isinstance(p, _GROUPED) for p in one.modules()):
        return
    tensors = _detached(named_tensors(vectorized.members))
    shared = {
        name: tensor[0]
        for name, tensor in tensors.items()
        if len(tensor) > 1 and (tensor == tensor[0]).all()
    }
    own = {name: t for name, t in tensors.items() if name not in shared}
    axes = {name: 0 if name in own else None for name in tensors}

    def run_one(of_member: dict[str, Tensor], x: Tensor) -> Any:
        # A member may write to what it is given.
        return torch.func.functional_call(one, of_member, (x.clone(),))

    def run_stacked(x: Tensor, of_members: dict[str, Tensor]) -> Any:
        return torch.func.vmap(run_one, (axes, None))(of_members, x)

    def run_vectorized(x: Tensor, of_members: dict[str, Tensor]) -> Any:
        named = {f"members.{name}": tensor for name, tensor in of_members.items()}
        return torch.func.functional_call(vectorized, named, (x,))

    if own:
        yield Together(run_stacked, own, shared)
    if vectorized.method == "structural":
        yield Together(run_vectorized, tensors, {})


def add_together(graph: Graph, members: Members, way: Together) -> str:
    """Name of the mean of the natural parameters of the members that are on.

    Members that are off have no part in the products: unless all are on, the weights
    of the others are gathered first.

    Parameters
    ----------
    graph : Graph
        Is added to.
    members : Members
    way : Together

    Returns
    -------
    str
        NaN where no member is on.
    """
    tensors = {**way.own, **way.shared}
    n_members = members.vectorized.n_members

    def mean(x: Tensor, *of_members: Tensor) -> Tensor:
        named = dict(zip(tensors, of_members, strict=True))
        return members.family.natural(first_of(way.run(x, named))).mean(0)

    some = torch.arange(_N_EXAMPLES) % n_members
    examples = {name: tensor[some] for name, tensor in way.own.items()}
    function = onnx_function(
        "members",
        mean,
        {ROWS: members.rows, **examples, **way.shared},
        dict.fromkeys([ROWS, *way.own], 0),
        ["natural"],
        members.opset,
    )
    graph.functions.append(function.proto)
    weights = {
        name: graph.tensor(tensor.numpy(), f"members/{name}")
        for name, tensor in tensors.items()
    }

    def of_all() -> str:
        return graph.call(
            "members", members.matrix, *weights.values(), domain=OWN_DOMAIN
        )

    def of_some() -> str:
        places = graph.call("NonZero", members.mask)
        chosen = graph.call("Squeeze", places, graph.tensor([0]))
        gathered = [
            graph.call("Gather", weight, chosen, axis=0) if name in way.own else weight
            for name, weight in weights.items()
        ]
        return graph.call("members", members.matrix, *gathered, domain=OWN_DOMAIN)

    (result,) = function.outputs
    n_on = add_count(graph, members)
    is_any = graph.call("Greater", n_on, graph.tensor(0))
    is_any_off = graph.call("Less", n_on, graph.tensor(n_members))
    is_some = graph.call("And", is_any, is_any_off)
    made = graph.choose(is_some, of_some, of_all, result)
    return graph.call("Where", is_any, made, graph.tensor(number_like(np.nan, result)))


def _detached(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach() for name, tensor in tensors.items()}
