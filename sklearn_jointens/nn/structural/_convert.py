"""Vectorization by structure: each layer of the member becomes a vectorized layer.

The member's forward is traced with torch.fx and rewritten, step by step, for hidden
tensors (M, f1, ..., fk, B) of all members (see ``_rewrite.py``).
"""

import copy
import functools
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from sklearn_jointens.nn._base import CannotVectorize, Replay, VectorizedModule
from sklearn_jointens.nn._copying import copy_module, like, named_tensors, stack
from sklearn_jointens.nn._members import plain_settings
from sklearn_jointens.nn._random_state import draws_on_host
from sklearn_jointens.nn.layers._basic import VectorizedLayer
from sklearn_jointens.nn.structural._blocks import BlockRun
from sklearn_jointens.nn.structural._program import Program
from sklearn_jointens.nn.structural._rewrite import rewrite
from sklearn_jointens.nn.structural._tables import VECTORIZED_LAYERS, is_layer


class StructuralModule(VectorizedModule):
    """Members whose layers all have a vectorized form.

    Parameters
    ----------
    members : Module
        Tree of vectorized layers under the names of one member's layers.
    n_members : int
        Number of members, M.
    programs : dict of bool to Program
        What to run in training mode (True) and in evaluation mode (False).
    template : Module
        One member, of which only the structure is used.
    """

    method = "structural"

    def __init__(
        self,
        members: nn.Module,
        n_members: int,
        programs: dict[bool, Program],
        template: nn.Module,
    ):
        super().__init__(members, n_members)
        self._programs = programs
        self._template = _Template(template)
        self.training = members.training

    def forward(self, x: Tensor) -> Any:
        return self._programs[self.training].run(x, self.n_members)

    @property
    def template(self) -> nn.Module:
        return self._template.module

    def _tell(self, path: str, name: str, value: Any) -> None:
        told = copy.deepcopy(self._template.module)
        setattr(told.get_submodule(path), name, value)
        part = self.members.get_submodule(path)
        if isinstance(part, VectorizedLayer) and name not in vars(part):
            raise AttributeError(
                f"{name!r} of {type(part).__name__} ({path!r}) cannot be set."
            )
        try:
            self._programs = _programs_of(told, self.members)
        except CannotVectorize as error:
            raise AttributeError(
                f"{name!r} of the members cannot be set to {value!r}: {error}."
            ) from error
        self._template = _Template(told)
        setattr(part, name, value)

    def forward_blocks(
        self,
        inputs: Tensor | Sequence[Tensor],
        n_groups: int | None = None,
        replay: Replay | None = None,
    ) -> Any:
        self._check_blocks(inputs, n_groups, replay)
        program = self._programs[self.training]
        replay = replay if self.training else None
        return BlockRun(program, inputs, self.n_members, n_groups, replay).run()

    @property
    def mixes_rows(self) -> bool:
        """Whether in training a row of a batch has a part in what becomes of others."""
        return self._mixes_rows(training=True)

    @property
    def draws(self) -> bool:
        """Whether random numbers are drawn in training."""
        return bool(self._programs[True].random)

    def _mixes_rows(self, training: bool) -> bool:
        return any(
            isinstance(layer, VectorizedLayer) and layer.mixes_rows(training)
            for layer in self.members.modules()
        )

    def _check_blocks(
        self,
        inputs: Tensor | Sequence[Tensor],
        n_groups: int | None,
        replay: Replay | None,
    ) -> None:
        n_rows = [len(block) for block in inputs]
        if not n_rows or self.n_members % len(n_rows) or min(n_rows) == 0:
            raise ValueError(
                "The 'inputs' parameter of forward_blocks must be blocks of at least "
                f"one row, for each of equally many of the {self.n_members} members. "
                f"Got blocks of {n_rows} rows instead."
            )
        if replay is not None and (
            not n_groups or self.n_members % n_groups or n_groups % len(n_rows)
        ):
            raise ValueError(
                "The 'n_groups' parameter of forward_blocks must divide the "
                f"{self.n_members} members and be a multiple of the {len(n_rows)} "
                f"blocks. Got {n_groups!r} instead."
            )
        if len(set(n_rows)) > 1 and self._mixes_rows(self.training):
            raise ValueError(
                "The 'inputs' parameter of forward_blocks must be blocks of equally "
                "many rows where members normalize over the batch. Got blocks of "
                f"{n_rows} rows instead."
            )

    def member(self, index: int) -> nn.Module:
        stacked = named_tensors(self.members)
        member = copy_module(
            self._template.module,
            {
                name: like(tensor, tensor.detach()[index].clone())
                for name, tensor in stacked.items()
            },
        )
        vectorized = dict(self.members.named_modules())
        for path, module in member.named_modules():
            module.training = vectorized[path].training
        return member


def vectorize_structurally(modules: Sequence[nn.Module]) -> StructuralModule:
    """Convert M modules of one architecture layer by layer.

    Parameters
    ----------
    modules : sequence of Module
        The members, known to be alike; copied.

    Returns
    -------
    vectorized : StructuralModule

    Raises
    ------
    CannotVectorize
        If a layer or an operation has no vectorized form, with its name.
    """
    members = _vectorize_tree(modules, path="")
    programs = _programs_of(modules[0], members)
    return StructuralModule(members, len(modules), programs, modules[0])


def _programs_of(member: nn.Module, members: nn.Module) -> dict[bool, Program]:
    """What to run in training mode and in evaluation mode."""
    # A trace keeps the branches that `self.training` took: one trace for each mode.
    # One of them under autocast: a block that switches it off differs only there.
    with torch.autocast(_device_type(members), torch.bfloat16):
        training = _trace(copy.deepcopy(member).train())
    evaluation = _trace(copy.deepcopy(member).eval())
    programs = dict.fromkeys((True, False), rewrite(training, member, members))
    if training.python_code("self").src != evaluation.python_code("self").src:
        programs[False] = rewrite(evaluation, member, members)
    return programs


class _Template:
    """A member's structure, kept out of the tree of modules that holds it.

    On the meta device it takes no memory, and a pickle made on one device loads on
    another. It never changes, so copies share it.
    """

    def __init__(self, member: nn.Module):
        tensors = {
            name: like(tensor, torch.empty_like(tensor, device="meta"))
            for name, tensor in named_tensors(member).items()
        }
        self.module = copy_module(member, tensors)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Template":
        return self


class _Tracer(fx.Tracer):
    """Traces one module, and is seen by that module alone.

    torch's own `trace` exchanges `nn.Module.__call__` for the whole process while it
    runs, so that modules in other threads fail. Here each layer of the module has its
    own `forward` exchanged, in the module that is given, which is a copy.
    """

    def __init__(self) -> None:
        super().__init__()
        self._modes = _modes()

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        # As a child, a member that is itself a torch layer stays whole.
        self.root = nn.ModuleDict({"member": root})
        self.tensor_attrs = {}
        self.graph = fx.Graph(tracer_cls=type(self))
        parts = dict(self.root.named_modules())
        layers = {path: part for path, part in parts.items() if is_layer(part)}
        for path, part in parts.items():
            for kind in ("_parameters", "_buffers"):
                setattr(part, kind, _Tensors(getattr(part, kind), self, path))
        for path, layer in layers.items():
            vars(layer)["forward"] = functools.partial(self._call_layer, path)
        output = root(self.create_proxy("placeholder", "x", (), {}))
        for layer in layers.values():
            del vars(layer)["forward"]
        self.create_node("output", "output", (self.create_arg(output),), {})
        return self.graph

    def _call_layer(self, path: str, *args: Any, **kwargs: Any) -> fx.Proxy:
        return self.create_proxy("call_module", path, args, kwargs)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if _modes() != self._modes:
            # A trace forgets the block that a call was made in.
            raise CannotVectorize("its forward switches gradients or autocast")
        return super().create_node(*args, **kwargs)


class _Tensors(dict):
    """A module's parameters or buffers, which a forward gets to see as proxies only."""

    def __init__(self, tensors: dict[str, Tensor], tracer: _Tracer, path: str):
        super().__init__(tensors)
        self._tracer, self._path = tracer, path

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            return None
        return self._tracer.create_proxy("get_attr", f"{self._path}.{name}", (), {})


def _modes() -> tuple[Any, ...]:
    of_autocast = [
        (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
        for device in ("cpu", "cuda")
    ]
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *of_autocast


def _device_type(member: nn.Module) -> str:
    tensors = named_tensors(member).values()
    return next((tensor.device.type for tensor in tensors), "cpu")


def _trace(member: nn.Module) -> fx.Graph:
    settings = plain_settings(member)
    try:
        draws, graph = draws_on_host(lambda: _Tracer().trace(member))
    except CannotVectorize:
        raise
    except Exception as error:
        # A forward may do anything with a traced value, so anything may be raised.
        message = str(error).strip().split("\n")[0]
        raise CannotVectorize(
            f"its forward cannot be traced ({type(error).__name__}: {message})"
        ) from error
    if draws or plain_settings(member) != settings:
        # What a forward pass draws or counts in Python, a trace keeps as a constant.
        raise CannotVectorize(
            "its forward draws random numbers on the host, or changes the module "
            "otherwise than in its tensors"
        )
    return graph


def _vectorize_tree(modules: Sequence[nn.Module], path: str) -> nn.Module:
    first = modules[0]
    for module in modules:
        _refuse_hooks(module, path)
    layer = VECTORIZED_LAYERS.get(type(first))
    try:
        if layer is not None:
            return layer(modules)
    except CannotVectorize as error:
        raise CannotVectorize(f"no vectorized form of {error} ('{path}')") from error
    if is_layer(first):
        if named_tensors(first):
            raise CannotVectorize(
                f"no vectorized form of {type(first).__name__} ('{path}')"
            )
        return copy.deepcopy(first)
    container = nn.Module()
    container.training = first.training
    for name, _ in first.named_children():
        children = [module.get_submodule(name) for module in modules]
        child_path = f"{path}.{name}" if path else name
        container.add_module(name, _vectorize_tree(children, child_path))
    for name, _ in first.named_parameters(recurse=False):
        stacked = stack([module.get_parameter(name) for module in modules])
        container.register_parameter(name, cast(nn.Parameter, stacked))
    for name, _ in first.named_buffers(recurse=False):
        stacked = stack([module.get_buffer(name) for module in modules])
        persistent = name not in first._non_persistent_buffers_set
        container.register_buffer(name, stacked, persistent)
    return container


def _refuse_hooks(module: nn.Module, path: str) -> None:
    hooks = (
        module._forward_hooks,
        module._forward_pre_hooks,
        module._backward_hooks,
        module._backward_pre_hooks,
    )
    if any(hooks) or "forward" in vars(module):
        raise CannotVectorize(
            f"{type(module).__name__} ('{path}') has hooks or a forward of its own"
        )
