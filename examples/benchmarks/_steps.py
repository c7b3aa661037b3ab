"""Training steps to be timed: of all members at once, one by one, or of one network."""

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle, islice

import numpy as np
import torch
from torch import Tensor, nn

from examples.benchmarks._measure import interleave, seconds
from sklearn_jointens.losses import Family, joint_loss
from sklearn_jointens.nn import VectorizedModule

LAM = 0.9
# Low, because timing does not depend on it and random data must not diverge.
LR = 0.002
MOMENTUM = 0.9

Batch = tuple[Tensor, Tensor]
Step = Callable[[Tensor, Tensor], None]

# What one turn of a step should last at least, and how many steps it takes at most.
_TURN_SECONDS = 0.1
_MOST_STEPS = 500


def sgd(module: nn.Module, lr: float = LR) -> torch.optim.Optimizer:
    """The optimizer of every benchmark."""
    return torch.optim.SGD(module.parameters(), lr=lr, momentum=MOMENTUM)


def joint_step(
    module: VectorizedModule, lr: float = LR, family: Family | None = None
) -> Step:
    """All members, vectorized; `lr` is a member's, as that of a loop over members."""
    # Eq. 4 divides gradients by the number of members, which the paper makes up for so.
    optimizer = sgd(module, lr * module.n_members)

    def step(X: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        joint_loss(module(X), y, LAM, family=family).backward()
        optimizer.step()

    return step


def loop_step(
    modules: Sequence[nn.Module], lr: float = LR, family: Family | None = None
) -> Step:
    """All members by the same loss, one plain module after the other."""
    optimizer = sgd(nn.ModuleList(modules), lr * len(modules))

    def step(X: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        logits = torch.stack([module(X) for module in modules])
        joint_loss(logits, y, LAM, family=family).backward()
        optimizer.step()

    return step


def single_step(module: nn.Module) -> Step:
    """One network, in plain torch."""
    optimizer = sgd(module)

    def step(X: Tensor, y: Tensor) -> None:
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(X), y).backward()
        optimizer.step()

    return step


def first_products(n_units: int, batch: Batch) -> Step:
    """The two matrix products of a first layer of `n_units`, and nothing else.

    What every step does at the least: the layer's outputs and its weights' gradient.
    """
    columns = batch[0].t()
    weight = columns.new_zeros(n_units, len(columns))
    hidden = columns.new_empty(n_units, columns.shape[1])
    gradient = torch.empty_like(weight)

    def step(X: Tensor, y: Tensor) -> None:
        torch.mm(weight, X.t(), out=hidden)
        torch.mm(hidden, X, out=gradient)

    return step


def captured(step: Step, batch: Batch) -> Step:
    """A step on this batch as a CUDA graph."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            step(*batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        step(*batch)
    return lambda X, y: graph.replay()


def time_steps(
    steps: Mapping[str, Step], batches: Sequence[Batch], rounds: int, device: str
) -> dict[str, np.ndarray]:
    """Time steps in turns, as many of them a turn as can be timed well.

    Parameters
    ----------
    steps : mapping of str to callable
    batches : sequence of (Tensor, Tensor)
        Taken in turns.
    rounds : int
    device : str

    Returns
    -------
    dict of str to ndarray of shape (rounds,)
        Seconds a step.
    """
    turns, counts = {}, {}
    for name, step in steps.items():
        step(*batches[0])  # which may allocate and compile
        one = seconds(lambda step=step: step(*batches[0]), device)
        counts[name] = int(np.clip(_TURN_SECONDS / one, 1, _MOST_STEPS))
        turns[name] = _repeated(step, batches, counts[name])
    times = interleave(turns, rounds, device)
    return {name: values / counts[name] for name, values in times.items()}


def _repeated(step: Step, batches: Sequence[Batch], n: int) -> Callable[[], None]:
    def turn() -> None:
        for X, y in islice(cycle(batches), n):
            step(X, y)

    return turn
