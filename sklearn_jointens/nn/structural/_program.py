"""A forward pass written down as a list of steps, so that it copies and pickles."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Ref:
    """Stands in a step's arguments for the value of an earlier step."""

    slot: int


INPUT = Ref(0)
N_MEMBERS = Ref(1)


@dataclass(frozen=True)
class Step:
    """One call: ``values[slot] = function(*args, **kwargs)``, then forget `done`.

    The call needs the values of the slots `uses`.
    """

    function: Callable
    args: tuple
    kwargs: dict[str, Any]
    slot: int
    uses: tuple[int, ...]
    done: tuple[int, ...]

    def call(self, values: dict[int, Any]) -> Any:
        """Call the function on values by slot."""
        return self.function(
            *[fetch(arg, values) for arg in self.args],
            **{name: fetch(arg, values) for name, arg in self.kwargs.items()},
        )


@dataclass(frozen=True)
class Program:
    """Steps in order, and what to return with references in it.

    Written in Python's own terms and not as a torch.fx graph module: that is traced
    anew when it is unpickled, and its generated code does not share its layers with
    the module around it.

    Attributes
    ----------
    steps : tuple of Step
    output : object
        What to return, with references in it.
    stacked : frozenset of int
        Slots whose values have an axis of members.
    random : frozenset of int
        Slots of stacked tensors that random numbers were drawn for.
    each : dict of int to callable
        For the slots of layers that are given a shared value and have weights or
        buffers: the layer's function for one value for each block of members, see
        ``_blocks.py``. It takes one tensor where the slot is stacked, else a sequence.
    """

    steps: tuple[Step, ...]
    output: Any
    stacked: frozenset[int]
    random: frozenset[int]
    each: dict[int, Callable]

    def run(self, x: Any, n_members: int) -> Any:
        """Run the steps on an input."""
        values = {INPUT.slot: x, N_MEMBERS.slot: n_members}
        for step in self.steps:
            values[step.slot] = step.call(values)
            for slot in step.done:
                del values[slot]
        return fetch(self.output, values)


@dataclass
class ProgramBuilder:
    """Collects steps, and what a `Program` says of them; ``finish`` makes it."""

    stacked: set[Ref] = field(default_factory=set)
    random: set[Ref] = field(default_factory=set)
    each: dict[Ref, Callable] = field(default_factory=dict)
    _calls: list[tuple[Callable, tuple, dict[str, Any], Ref]] = field(
        default_factory=list
    )

    def call(self, function: Callable, *args: Any, **kwargs: Any) -> Ref:
        """Append a call and return the reference to its value."""
        ref = Ref(N_MEMBERS.slot + 1 + len(self._calls))
        self._calls.append((function, args, kwargs, ref))
        return ref

    def finish(self, output: Any) -> Program:
        """The program that returns `output`, keeping no value longer than needed."""
        steps = []
        needed = set(references(output))
        for function, args, kwargs, ref in reversed(self._calls):
            given = {*references(args), *references(kwargs)}
            used = {ref, *given}
            done = tuple(r.slot for r in used - needed)
            needed |= used
            uses = tuple(r.slot for r in given)
            steps.append(Step(function, args, kwargs, ref.slot, uses, done))
        return Program(
            tuple(reversed(steps)),
            output,
            frozenset(ref.slot for ref in self.stacked),
            frozenset(ref.slot for ref in self.random),
            {ref.slot: function for ref, function in self.each.items()},
        )


def references(value: Any) -> list[Ref]:
    """All references within nested arguments, in order."""
    if isinstance(value, Ref):
        return [value]
    if isinstance(value, (tuple, list)):
        return [ref for item in value for ref in references(item)]
    if isinstance(value, dict):
        return references(list(value.values()))
    if isinstance(value, slice):
        return references([value.start, value.stop, value.step])
    return []


def fetch(value: Any, values: dict[int, Any]) -> Any:
    """Exchange the references within nested arguments for values by slot."""
    if isinstance(value, Ref):
        return values[value.slot]
    if isinstance(value, (tuple, list)):
        return type(value)([fetch(item, values) for item in value])
    if isinstance(value, dict):
        return {key: fetch(item, values) for key, item in value.items()}
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return slice(*(fetch(part, values) for part in parts))
    return value
