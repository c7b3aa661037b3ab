"""Vectorization by structure: each layer of the member becomes a vectorized layer.

The member's forward is traced with torch.fx and rewritten, step by step, for stacked
tensors (M, f1, ..., fk, B) of all members (see ``_rewrite.py``).
"""

import copy
from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._copying import named_tensors, stack, without_numbers
from sklearn_jointens.nn._module import VectorizedModule
from sklearn_jointens.nn._way import CannotVectorize
from sklearn_jointens.nn.layers._basic import VectorizedLayer
from sklearn_jointens.nn.structural._blocks import BlockRun, Replay
from sklearn_jointens.nn.structural._program import Program
from sklearn_jointens.nn.structural._rewrite import rewrite
from sklearn_jointens.nn.structural._tables import VECTORIZED_LAYERS, is_layer
from sklearn_jointens.nn.structural._trace import trace


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
    takes_blocks = True

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

    @classmethod
    def of(cls, modules: Sequence[nn.Module]) -> "StructuralModule":
        members = _vectorize_tree(modules, path="")
        programs = _programs_of(modules[0], members)
        return cls(members, len(modules), programs, modules[0])

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
        """Outputs of all members, of which equally large blocks have an input each.

        Parameters
        ----------
        inputs : Tensor of shape (n_blocks, B, ...) or sequence of n_blocks Tensors
            What each block of M / n_blocks members takes, the first members first.
            Tensors of a sequence may differ in their number of rows, unless members
            normalize over the batch.
        n_groups : int or None, default=None
            Into how many equal groups of members next to each other `replay` divides
            them. A multiple of n_blocks.
        replay : callable or None, default=None
            Makes a context manager of the number of a group. In training mode each
            layer that draws random numbers is applied to one group after the other,
            within its context, as if that group ran alone. ``None`` draws for all
            members at once.

        Returns
        -------
        outputs : Tensor of shape (M, B, ...)
            As from `forward`, with B the largest number of rows. A block's rows
            beyond its own are copies without a meaning.

        Raises
        ------
        ValueError
            If the blocks or groups do not divide the members, or the rows differ in
            number where they must not.
        """
        self._check_blocks(inputs, n_groups, replay)
        program = self._programs[self.training]
        replay = replay if self.training else None
        return BlockRun(program, inputs, self.n_members, n_groups, replay).run()

    @property
    def mixes_rows(self) -> bool:
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


def _programs_of(member: nn.Module, members: nn.Module) -> dict[bool, Program]:
    """What to run in training mode and in evaluation mode."""
    # A trace keeps the branches that `self.training` took: one trace for each mode.
    # One of them under autocast: a block that switches it off differs only there.
    device = next((t.device.type for t in named_tensors(members).values()), "cpu")
    with torch.autocast(device, torch.bfloat16):
        training = trace(copy.deepcopy(member).train())
    evaluation = trace(copy.deepcopy(member).eval())
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
        self.module = without_numbers(member)

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Template":
        return self


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
