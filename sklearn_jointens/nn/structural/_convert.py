"""Vectorization by structure: each layer of the member becomes a vectorized layer.

The member's forward is traced with torch.fx and rewritten, step by step, for hidden
tensors (M, f1, ..., fk, B) of all members (see ``_rewrite.py``).
"""

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, fx, nn

from sklearn_jointens.nn._base import (
    CannotVectorize,
    Replay,
    VectorizedModule,
    copy_module,
    like,
    named_tensors,
    stack,
)
from sklearn_jointens.nn._members import plain_settings
from sklearn_jointens.nn._random_state import host_random_state
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
    # A trace keeps the branches that `self.training` took: one trace for each mode.
    # One of them under autocast: a block that switches it off differs only there.
    with torch.autocast(_device_type(modules[0]), torch.bfloat16):
        training = _trace(copy.deepcopy(modules[0]).train())
    evaluation = _trace(copy.deepcopy(modules[0]).eval())
    programs = dict.fromkeys((True, False), rewrite(training, modules[0], members))
    if training.python_code("self").src != evaluation.python_code("self").src:
        programs[False] = rewrite(evaluation, modules[0], members)
    return StructuralModule(members, len(modules), programs, modules[0])


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


class _Root(nn.Module):
    """Holds the member, so that one that is itself a torch layer stays whole."""

    def __init__(self, member: nn.Module):
        super().__init__()
        self.member = member

    def forward(self, x: Any) -> Any:
        return self.member(x)


class _Tracer(fx.Tracer):
    def __init__(self) -> None:
        super().__init__()
        self._modes = _modes()

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_layer(m)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if _modes() != self._modes:
            # A trace forgets the block that a call was made in.
            raise CannotVectorize("its forward switches gradients or autocast")
        return super().create_node(*args, **kwargs)


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
    before = host_random_state(), plain_settings(member)
    try:
        graph = _Tracer().trace(_Root(member))
    except CannotVectorize:
        raise
    except Exception as error:
        # A forward may do anything with a traced value, so anything may be raised.
        message = str(error).strip().split("\n")[0]
        raise CannotVectorize(
            f"its forward cannot be traced ({type(error).__name__}: {message})"
        ) from error
    if (host_random_state(), plain_settings(member)) != before:
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
