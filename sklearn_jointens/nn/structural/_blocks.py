"""Running a program where equally large blocks of members have an input each.

A value that all members share is here one value for each block, and what is done to
it is done to each by itself, so that it sees the rows of its block only. A stacked
tensor holds the rows of the longest block for all members; a step that needs a shared
value too is done block by block, on each block's own rows.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sklearn_jointens.nn.layers._layout import deliver, join_members, pad_rows
from sklearn_jointens.nn.structural._program import (
    INPUT,
    N_MEMBERS,
    Program,
    Step,
    fetch,
    references,
)

# Sets the random generators to where a group's stream stands, and keeps where it ends.
Replay = Callable[[int], AbstractContextManager[Any]]


@dataclass(frozen=True)
class PerBlock:
    """One value for each block; `whole` is all of them, where they come as one."""

    parts: tuple[Any, ...]
    whole: Tensor | None = None

    def stack(self) -> Tensor:
        """As one tensor (n_blocks, B, ...) of the longest block's B rows."""
        if self.whole is not None:
            return self.whole
        n_rows = max(len(part) for part in self.parts)
        return torch.stack([pad_rows(part, n_rows, 0) for part in self.parts])

    def is_one_number(self) -> bool:
        """Whether all blocks have the same number, size, device or the like."""
        first = self.parts[0]
        return not _holds_tensor(first) and all(part == first for part in self.parts)


class BlockRun:
    """One run of a program, on blocks of inputs.

    Parameters
    ----------
    program : Program
    inputs : Tensor of shape (n_blocks, B, ...) or sequence of n_blocks Tensors
    n_members : int
        Number of members in all blocks.
    n_groups : int or None
        Number of groups for `replay`.
    replay : callable or None
        See `StructuralModule.forward_blocks`.
    """

    def __init__(
        self,
        program: Program,
        inputs: Tensor | Sequence[Tensor],
        n_members: int,
        n_groups: int | None,
        replay: Replay | None,
    ):
        whole = inputs if isinstance(inputs, Tensor) else None
        blocks = PerBlock(tuple(inputs), whole)
        self._program = program
        self._n_members = n_members
        self._n_groups = n_groups
        self._replay = replay
        self._n_rows = [len(block) for block in blocks.parts]
        self._values: dict[int, Any] = {
            INPUT.slot: blocks,
            N_MEMBERS.slot: n_members,
        }

    def run(self) -> Any:
        """Run the steps; returns what the program returns."""
        for step in self._program.steps:
            self._values[step.slot] = self._call(step)
            for slot in step.done:
                del self._values[slot]
        output = self._program.output
        slots = {ref.slot for ref in references(output)}
        return fetch(output, {slot: _joined(self._values[slot]) for slot in slots})

    def _call(self, step: Step) -> Any:
        program, values = self._program, self._values
        if self._replay is not None and step.slot in program.random:
            return self._call_by_group(step, self._replay)
        for slot in step.uses:
            if slot in program.stacked and isinstance(values[slot], PerBlock):
                values[slot] = join_members(values[slot].parts)
        shared = {
            slot: value
            for slot in step.uses
            if isinstance(value := values[slot], PerBlock)
        }
        if step.slot not in program.stacked:
            if step.slot in program.each:
                (blocks,) = shared.values()
                return PerBlock(program.each[step.slot](blocks.parts))
            # What is asked of a stacked tensor may be its number of rows.
            asks = any(slot in program.stacked for slot in step.uses)
            alone = bool(shared) or (asks and len(set(self._n_rows)) > 1)
            return self._call_by_block(step) if alone else step.call(values)
        if not shared:
            return step.call(values)
        if step.slot in program.each:
            (blocks,) = shared.values()
            return program.each[step.slot](blocks.stack())
        if all(value.is_one_number() for value in shared.values()):
            same = {slot: value.parts[0] for slot, value in shared.items()}
            return step.call({**values, **same})
        return self._call_by_block(step)

    def _call_by_block(self, step: Step) -> PerBlock:
        n_blocks = len(self._n_rows)
        parts = (self._members_of(step, i, n_blocks) for i in range(n_blocks))
        return PerBlock(tuple(step.call(values) for values in parts))

    def _call_by_group(self, step: Step, replay: Replay) -> Any:
        assert self._n_groups is not None
        parts = []
        for group in range(self._n_groups):
            values = self._members_of(step, group, self._n_groups)
            values = {slot: _without_gaps(value) for slot, value in values.items()}
            with replay(group):
                parts.append(step.call(values))
        joined = join_members(parts)
        if getattr(step.function, "inplace", False):
            # What it was given is, in a member, the result.
            self._values.update(dict.fromkeys(step.uses, joined))
        return joined

    def _members_of(self, step: Step, part: int, n_parts: int) -> dict[int, Any]:
        """What the step needs for one of equal parts of the members, on their rows."""
        size = self._n_members // n_parts
        first = part * size
        in_block = self._n_members // len(self._n_rows)
        block = first // in_block
        values = {}
        for slot in step.uses:
            value, start = self._values[slot], first
            if isinstance(value, PerBlock):
                value, start = value.parts[block], first - block * in_block
            if slot == N_MEMBERS.slot:
                value = size
            elif slot in self._program.stacked:
                value = _cut(value, start, size, self._n_rows[block])
            values[slot] = value
        return values


def _cut(stacked: Any, first: int, size: int, n_rows: int) -> Any:
    """Some members' first rows of a stacked tensor, or of each of several."""
    if isinstance(stacked, (tuple, list)):
        return tuple(_cut(part, first, size, n_rows) for part in stacked)
    if not isinstance(stacked, Tensor) or stacked.dim() == 0:
        return stacked
    return stacked[first : first + size, ..., :n_rows]


def _without_gaps(value: Any) -> Any:
    """A tensor in memory as it were alone; numbers are drawn in that order."""
    if not isinstance(value, Tensor):
        return value
    axes = zip(value.shape, value.stride(), strict=True)
    extent = 1 + sum((length - 1) * stride for length, stride in axes)
    return value.clone() if value.numel() < extent else value


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, (tuple, list)):
        return any(_holds_tensor(item) for item in value)
    return isinstance(value, Tensor)


def _joined(value: Any) -> Any:
    """Join what each block delivered, (M / n_blocks, B_i, ...), to (M, B, ...)."""
    if not isinstance(value, PerBlock):
        return value
    if value.parts[0].dim() == 1:
        return torch.cat(value.parts)
    return deliver(join_members([part.movedim(1, -1) for part in value.parts]))
