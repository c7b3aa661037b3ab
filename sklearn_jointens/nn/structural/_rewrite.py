"""Rewriting a traced member's forward for the stacked tensors of all members.

A value that depends on no weight and on no random number is the same for all members:
it stays shared, (B, ...), and what is done to it is done once and as the member does
it. Any other value is a stacked tensor (M, f1, ..., fk, B). What the tables do not know
is refused, with its name, rather than guessed.
"""

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any, cast

from torch import fx, nn

from sklearn_jointens.nn._way import CannotVectorize
from sklearn_jointens.nn.layers import _layout
from sklearn_jointens.nn.layers._basic import (
    SharedInputLayer,
    VectorizedEmbedding,
    VectorizedLayer,
)
from sklearn_jointens.nn.layers._encoding import VectorizedTabularEncoding
from sklearn_jointens.nn.structural import _operations, _tables
from sklearn_jointens.nn.structural._program import (
    INPUT,
    N_MEMBERS,
    Program,
    ProgramBuilder,
    Ref,
    references,
)


def rewrite(graph: fx.Graph, source: nn.Module, members: nn.Module) -> Program:
    """Rewrite the graph of one member as the program of all.

    Parameters
    ----------
    graph : torch.fx.Graph
        Traced from a module that holds the member as its child ``member``.
    source : Module
        The member; says which layer each name is.
    members : Module
        Tree of vectorized layers under the member's names; the program calls them.

    Returns
    -------
    program : Program

    Raises
    ------
    CannotVectorize
        If an operation has no form for stacked tensors.
    """
    rewriter = _Rewriter(source, members)
    for node in graph.nodes:
        if node.op == "output":
            return rewriter.finish(node.args[0])
        rewriter.add(node)
    raise AssertionError("a traced graph ends in its output")


class _Rewriter:
    def __init__(self, source: nn.Module, members: nn.Module):
        self._source = source
        self._members = members
        self._builder = ProgramBuilder()
        self._refs: dict[fx.Node, Ref] = {}
        self._stacked = self._builder.stacked
        self._tuples: set[Ref] = set()
        self._lifted: dict[Ref, Ref] = {}
        self._aliases: set[Ref] = set()

    def add(self, node: fx.Node) -> None:
        if node.op == "placeholder":
            self._refs[node] = INPUT
            return
        if node.op == "get_attr":
            name = _member_path(node)
            raise CannotVectorize(f"its forward uses the tensor '{name}' directly")
        args = self._translate(tuple(node.args))
        kwargs = self._translate(dict(node.kwargs))
        if node.op == "call_module":
            self._refs[node] = self._add_layer(_member_path(node), args, kwargs)
        else:
            self._refs[node] = self._add_function(node, args, kwargs)

    def finish(self, output: Any) -> Program:
        return self._builder.finish(self._deliver(self._translate(output)))

    def _translate(self, argument: Any) -> Any:
        """Exchange the graph's nodes for references."""
        if isinstance(argument, fx.Node):
            return self._refs[argument]
        if isinstance(argument, (tuple, list)):
            return tuple(self._translate(item) for item in argument)
        if isinstance(argument, dict):
            return {key: self._translate(item) for key, item in argument.items()}
        if isinstance(argument, slice):
            parts = (argument.start, argument.stop, argument.step)
            return slice(*(self._translate(part) for part in parts))
        return argument

    def _deliver(self, output: Any) -> Any:
        if isinstance(output, Ref):
            if output in self._stacked:
                return self._call_stacked(_layout.deliver, output)
            return self._builder.call(_layout.deliver_shared, output, N_MEMBERS)
        if isinstance(output, (tuple, list)):
            return tuple(self._deliver(item) for item in output)
        if isinstance(output, dict):
            return {key: self._deliver(item) for key, item in output.items()}
        raise CannotVectorize(f"its forward returns {output!r}")

    def _call_stacked(self, function: Callable, *args: Any, **kwargs: Any) -> Ref:
        ref = self._builder.call(function, *args, **kwargs)
        self._stacked.add(ref)
        return ref

    def _call_random(self, function: Callable, *args: Any, **kwargs: Any) -> Ref:
        ref = self._call_stacked(function, *args, **kwargs)
        self._builder.random.add(ref)
        return ref

    def _lift(self, argument: Any) -> Any:
        """Make shared tensors within an argument stacked ones, each only once."""
        if isinstance(argument, tuple):
            return tuple(self._lift(item) for item in argument)
        if not isinstance(argument, Ref) or argument in self._stacked:
            return argument
        if argument not in self._lifted:
            self._lifted[argument] = self._call_stacked(
                _layout.lift, argument, N_MEMBERS
            )
        return self._lifted[argument]

    def _is_stacked(self, *arguments: Any) -> bool:
        return any(ref in self._stacked for ref in references(arguments))

    def _add_layer(self, path: str, args: tuple, kwargs: dict[str, Any]) -> Ref:
        original = self._source.get_submodule(path)
        layer = self._members.get_submodule(path)
        what = f"{type(original).__name__} ('{path}')"
        if len(args) != 1 or not isinstance(args[0], Ref) or kwargs:
            raise CannotVectorize(f"no vectorized form of this call of {what}")
        (value,) = args
        if isinstance(layer, VectorizedLayer):
            return self._add_vectorized(layer, value, what)
        if getattr(original, "return_indices", False):
            raise CannotVectorize(f"no vectorized form of {what} with return_indices")
        if getattr(original, "inplace", False) and not self._is_stacked(value):
            raise CannotVectorize(f"{what} acts on the shared input")
        call = self._call_stacked
        if type(original) in _tables.RANDOM_LAYERS:
            value, call = self._lift(value), self._call_random
        if not self._is_stacked(value):
            kind = type(original).__name__
            if "Dropout" in kind or "Fractional" in kind:
                raise CannotVectorize(f"{what} acts on the shared input")
            return self._builder.call(layer, value)
        if getattr(original, "inplace", False):
            self._refuse_alias(value, what)
        if type(original) in _tables.CHANNELWISE_LAYERS:
            if getattr(original, "inplace", False):
                # What it is given may be a copy.
                raise CannotVectorize(f"no vectorized form of {what} in place")
            n_spatial = _tables.CHANNELWISE_LAYERS[type(original)]
            return call(_layout.channelwise, layer, n_spatial, value)
        if type(original) in {*_tables.ELEMENTWISE_LAYERS, *_tables.RANDOM_LAYERS}:
            return call(layer, value)
        if type(original) in _tables.FUNCTION_LAYERS:
            function, names = _tables.FUNCTION_LAYERS[type(original)]
            options = (getattr(original, name) for name in names)
            ref = self._call_featurewise(function, (value, *options), {}, what)
            return self._alias((value,), ref)
        raise CannotVectorize(f"no vectorized form of {what}")

    def _add_vectorized(self, layer: VectorizedLayer, value: Ref, what: str) -> Ref:
        if isinstance(layer, VectorizedTabularEncoding):
            if self._is_stacked(value):
                raise CannotVectorize(f"{what} is given what the members compute")
            ref = self._builder.call(layer, value)
            self._builder.each[ref] = layer.forward_each
            return ref
        if not self._is_stacked(value):
            if isinstance(layer, SharedInputLayer):
                ref = self._call_stacked(layer.forward_shared, value)
                self._builder.each[ref] = layer.forward_each
                return ref
        elif isinstance(layer, VectorizedEmbedding):
            raise CannotVectorize(f"{what} is given indices that the members compute")
        return self._call_stacked(layer, self._lift(value))

    def _add_function(self, node: fx.Node, args: tuple, kwargs: dict[str, Any]) -> Ref:
        function, name = _function_and_name(node)
        what = f"{name or node.name} ('{node.name}')"
        stacked = self._is_stacked(args, kwargs)
        writes = _writes(node, args, kwargs)
        off = kwargs.get("training") is False
        if name in _tables.RANDOM_UNLESS_OFF and (stacked or not off):
            if not writes and len(references((args, kwargs))) == 1:
                args = (self._lift(args[0]), *args[1:])
                call = self._call_stacked if off else self._call_random
                return call(*_by_channel_or_number(function, name, args), **kwargs)
        elif not stacked:
            if not writes and name not in _tables.RANDOM:
                return self._builder.call(function, *args, **kwargs)
        elif name in _tables.QUESTIONS:
            if name != "getattr" or args[1] in _tables.ATTRIBUTES:
                return self._builder.call(_tables.QUESTIONS[name], *args, **kwargs)
        elif name in _tables.CASTS:
            if self._is_stacked(args[0]):
                return self._alias(args, self._call_stacked(function, *args, **kwargs))
        elif name in _tables.ELEMENTWISE:
            if writes:
                self._refuse_alias(args[0], what)
            if not writes or self._is_stacked(args[0]):
                return self._add_elementwise(function, args, kwargs, what)
        elif name in _tables.CHANNELWISE:
            if args and not self._is_stacked(args[1:], kwargs):
                called = _by_channel_or_number(function, name, args)
                return self._call_stacked(*called, **kwargs)
        elif name in _tables.FEATUREWISE:
            if name in _tables.JOINS:
                args = self._lift(args)
            if (
                name == "getitem"
                and type(args[1]) is int
                and args[0] not in self._tuples
            ):
                raise CannotVectorize(f"{what} acts along the batch")
            ref = self._call_featurewise(_tables.FEATUREWISE[name], args, kwargs, what)
            if name == "chunk":
                self._tuples.add(ref)
            return self._alias(args, ref)
        raise CannotVectorize(f"no vectorized form of {what}")

    def _alias(self, args: tuple, ref: Ref) -> Ref:
        """Remember that a value may share its memory with what it was made of."""
        self._aliases |= {ref, *references(args)}
        return ref

    def _refuse_alias(self, value: Any, what: str) -> None:
        if value in self._aliases:
            # In a member the other name sees the change; here it may be a copy.
            raise CannotVectorize(f"{what} writes to what has another name")

    def _add_elementwise(
        self, function: Callable, args: tuple, kwargs: dict[str, Any], what: str
    ) -> Ref:
        if references(kwargs):
            raise CannotVectorize(f"no vectorized form of this call of {what}")
        if len(references(args)) == 1:
            return self._call_stacked(function, *args, **kwargs)
        stacked = tuple(self._is_stacked(argument) for argument in args)
        return self._call_stacked(
            _operations.broadcast, function, stacked, *args, **kwargs
        )

    def _call_featurewise(
        self, function: Callable, args: tuple, kwargs: dict[str, Any], what: str
    ) -> Ref:
        try:
            given = inspect.signature(function).bind(*args, **kwargs).arguments
        except TypeError as error:
            # Torch's defaults for what is missing here act on the batch.
            raise CannotVectorize(
                f"no vectorized form of this call of {what}: {error}"
            ) from error
        for name in ("dim", "dim0", "dim1", "start_dim"):
            dims = given.get(name)
            if 0 in (dims if isinstance(dims, tuple) else (dims,)):
                raise CannotVectorize(f"{what} acts along the batch")
            if name in given and dims is None:
                raise CannotVectorize(f"{what} names no axis")
        return self._call_stacked(function, *args, **kwargs)


def _member_path(node: fx.Node) -> str:
    return str(node.target).removeprefix("member").removeprefix(".")


def _function_and_name(node: fx.Node) -> tuple[Callable, str]:
    """What the node calls, and under which name the tables may know it."""
    if node.op == "call_method":
        name = str(node.target)
        return functools.partial(_operations.call_method, name), name
    function = cast(Callable, node.target)
    name = _tables.FUNCTION_NAMES.get(function, "")
    if name and "<locals>" in getattr(function, "__qualname__", ""):
        # As max_pool2d, one of two functions; it could not be pickled.
        return functools.partial(_operations.call_functional, name), name
    return function, name


def _by_channel_or_number(function: Callable, name: str, args: tuple) -> tuple:
    """What to call, and with what, to treat channels or single numbers apart."""
    if name in _tables.CHANNELWISE:
        return (_layout.channelwise, function, _tables.CHANNELWISE[name], *args)
    return (function, *args)


def _writes(node: fx.Node, args: tuple, kwargs: dict[str, Any]) -> bool:
    """Whether the node changes its first argument in place."""
    name = getattr(node.target, "__name__", str(node.target))
    in_place = name.endswith("_") and not name.endswith("__")
    if in_place or name in _tables.IN_PLACE:
        return True
    if inspect.isfunction(node.target):
        with contextlib.suppress(TypeError, ValueError):
            given = inspect.signature(node.target).bind(*args, **kwargs).arguments
            return bool(given.get("inplace"))
    return bool(kwargs.get("inplace"))
