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
    """One call: ``values[slot] = function(*args, **kwargs)``, then forget `done`."""

    function: Callable
    args: tuple
    kwargs: dict[str, Any]
    slot: int
    done: tuple[int, ...]


@dataclass(frozen=True)
class Program:
    """Steps in order, and what to return with references in it.

    Written in Python's own terms and not as a torch.fx graph module: that is traced
    anew when it is unpickled, and its generated code does not share its layers with
    the module around it.
    """

    steps: tuple[Step, ...]
    output: Any

    def run(self, x: Any, n_members: int) -> Any:
        """Run the steps on an input."""
        values = {INPUT.slot: x, N_MEMBERS.slot: n_members}
        for step in self.steps:
            values[step.slot] = step.function(
                *_fetch(step.args, values),
                **{name: _fetch(arg, values) for name, arg in step.kwargs.items()},
            )
            for slot in step.done:
                del values[slot]
        return _fetch(self.output, values)


@dataclass
class ProgramBuilder:
    """Collects steps; ``finish`` makes the program."""

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
            used = {ref, *references(args), *references(kwargs)}
            done = tuple(r.slot for r in used - needed)
            needed |= used
            steps.append(Step(function, args, kwargs, ref.slot, done))
        return Program(tuple(reversed(steps)), output)


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


def _fetch(value: Any, values: dict[int, Any]) -> Any:
    if isinstance(value, Ref):
        return values[value.slot]
    if isinstance(value, (tuple, list)):
        return type(value)([_fetch(item, values) for item in value])
    if isinstance(value, dict):
        return {key: _fetch(item, values) for key, item in value.items()}
    if isinstance(value, slice):
        parts = (value.start, value.stop, value.step)
        return slice(*(_fetch(part, values) for part in parts))
    return value
