"""A graph that is being built."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import TensorProto, ValueInfoProto, helper, numpy_helper

# Of the functions that torch has written; none is left in a finished model.
OWN_DOMAIN = "sklearn_jointens"
ML_DOMAIN = "ai.onnx.ml"

# The input that says which members are on, bool of shape (n_members,).
MASK = "members"


class Graph:
    """Nodes, and the tensors that they share.

    Attributes
    ----------
    nodes : list of NodeProto
    tensors : list of TensorProto
    functions : list of FunctionProto
        What may be called in `OWN_DOMAIN`.
    """

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.tensors: list[TensorProto] = []
        self.functions: list[Any] = []
        self._n_values = 0

    def tensor(self, values: Any, name: str | None = None) -> str:
        """Name of a tensor with these values, which is part of the model."""
        name = self._new_name() if name is None else name
        self.tensors.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def call(
        self,
        operator: str,
        *inputs: str,
        output: str | None = None,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Name of the value that an operator makes of others."""
        output = self._new_name() if output is None else output
        self.call_for([output], operator, *inputs, domain=domain, **attributes)
        return output

    def call_for(
        self, outputs: list[str], operator: str, *inputs: str, **attributes: Any
    ) -> None:
        """The same of an operator that makes several values, which have names."""
        node = helper.make_node(operator, inputs, outputs, **attributes)
        self.nodes.append(node)

    def choose(
        self,
        condition: str,
        then: Callable[[], str],
        otherwise: Callable[[], str],
        result: ValueInfoProto,
    ) -> str:
        """Name of what one of two functions, which add nodes to the graph, has made.

        The other's nodes are not run.

        Parameters
        ----------
        condition : str
            Of a single bool.
        then, otherwise : callable
        result : ValueInfoProto
            Of the shape and type of what is made.
        """
        branches = {}
        for branch, add_nodes in (("then_branch", then), ("else_branch", otherwise)):
            outside, self.nodes = self.nodes, []
            made = ValueInfoProto(name=add_nodes(), type=result.type)
            branches[branch] = helper.make_graph(self.nodes, branch, [], [made])
            self.nodes = outside
        return self.call("If", condition, **branches)

    def _new_name(self) -> str:
        self._n_values += 1
        return f"value_{self._n_values}"
