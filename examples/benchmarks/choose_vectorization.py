"""The evidence for how `vectorize_members` chooses a way on the CPU.

Times one training step of many kinds of members (forward, joint loss, backward, SGD)
run in each way that can run them, in turns, and prints for each kind how much one
member computes for a row, how long the plain loop over members takes, and each way's
time relative to it: the median over the rounds. "chosen" is what ``method="auto"``
takes.

    OMP_NUM_THREADS=1 python -m examples.benchmarks.choose_vectorization
    OMP_NUM_THREADS=1 python -m examples.benchmarks.choose_vectorization --only series
"""

import argparse
import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from examples.benchmarks._measure import interleave
from sklearn_jointens.losses import joint_loss
from sklearn_jointens.nn import (
    MLP,
    ConvNet,
    DenseNetBC,
    VectorizedModule,
    vectorize_members,
)
from sklearn_jointens.nn._cost import multiplications_per_row
from sklearn_jointens.nn._loop import LoopModule

N_CLASSES = 10


class Case(NamedTuple):
    """Members of one kind, and the shape of a batch."""

    label: str
    n_members: int
    make: Callable[[], nn.Module]
    batch: tuple[int, ...]


class Recurrent(nn.Module):
    """Reads a series and classifies its last state."""

    def __init__(self, kind: type[nn.RNNBase], n_inputs: int, width: int):
        super().__init__()
        self.recurrent = kind(n_inputs, width, batch_first=True)
        self.output = nn.Linear(width, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.recurrent(x)[0][:, -1])


class Attention(nn.Module):
    """One head of attention, written out."""

    def __init__(self, width: int):
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.output = nn.Linear(width, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.query(x) @ self.key(x).transpose(1, 2)
        attended = torch.softmax(scores / x.size(-1) ** 0.5, dim=-1) @ self.value(x)
        return self.output((x + attended).mean(1))


class MultiHead(nn.Module):
    """torch's attention."""

    def __init__(self, width: int):
        super().__init__()
        self.attention = nn.MultiheadAttention(width, 4, batch_first=True)
        self.output = nn.Linear(width, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output((x + self.attention(x, x, x)[0]).mean(1))


class Encoder(nn.Module):
    """A layer of a transformer."""

    def __init__(self, width: int):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(
            width, 4, 2 * width, dropout=0.0, batch_first=True
        )
        self.output = nn.Linear(width, N_CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.layer(x).mean(1))


class Scaled(nn.Module):
    """A network that is not structural: it uses a weight outside of a layer."""

    def __init__(self, n_inputs: int, width: int):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(n_inputs))
        self.network = MLP(n_inputs, N_CLASSES, (width,))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x * self.scale)


def images(channels: int, normalized: bool = False) -> Callable[[], nn.Module]:
    """Three convolutions of images, with global average pooling."""

    def make() -> nn.Module:
        wide = 2 * channels
        norms = (
            [nn.BatchNorm2d(channels), nn.BatchNorm2d(wide)]
            if normalized
            else [nn.Identity(), nn.Identity()]
        )
        return nn.Sequential(
            *(nn.Conv2d(3, channels, 3), norms[0], nn.ReLU()),
            *(nn.Conv2d(channels, wide, 3, stride=2), norms[1], nn.ReLU()),
            *(nn.Conv2d(wide, wide, 3, padding=1), nn.ReLU()),
            *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(wide, N_CLASSES)),
        )

    return make


def series(channels: int) -> Callable[[], nn.Module]:
    """Three convolutions of series, with global average pooling."""
    wide = 2 * channels
    return lambda: nn.Sequential(
        *(nn.Conv1d(3, channels, 5), nn.ReLU()),
        *(nn.Conv1d(channels, wide, 5, stride=2), nn.ReLU()),
        *(nn.Conv1d(wide, wide, 5, padding=2), nn.ReLU()),
        *(nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(wide, N_CLASSES)),
    )


def convolution_cases() -> Iterator[Case]:
    for size in (8, 16, 32):
        for channels in (4, 8, 16, 32, 64, 128):
            for n_members, n_rows in ((4, 100), (16, 32), (64, 32)):
                # What takes seconds a step says what the smaller ones say.
                if n_members * channels * size <= 8192:
                    label = f"images {size}x{size}, {channels} channels"
                    batch = (n_rows, 3, size, size)
                    yield Case(label, n_members, images(channels), batch)
    for channels in (4, 16, 64):
        label = f"images 16x16, {channels} channels, BatchNorm2d"
        yield Case(label, 16, images(channels, True), (100, 3, 16, 16))


def series_cases() -> Iterator[Case]:
    for length in (32, 128):
        for channels in (4, 16, 64):
            for n_members, n_rows in ((4, 100), (16, 32), (64, 32)):
                if n_members * channels * length <= 65536:
                    label = f"series of {length}, {channels} channels"
                    batch = (n_rows, 3, length)
                    yield Case(label, n_members, series(channels), batch)


def paper_cases() -> Iterator[Case]:
    yield Case("MLP 784-64-10", 16, lambda: MLP(784, 10, (64,)), (100, 784))
    yield Case("ConvNet", 10, lambda: ConvNet(3, 10), (100, 3, 32, 32))
    yield Case(
        "DenseNetBC(40, 12)",
        4,
        lambda: DenseNetBC(40, 12, in_channels=3, n_outputs=10),
        (16, 3, 32, 32),
    )


def sequence_cases() -> Iterator[Case]:
    for width in (16, 64):
        for n_members in (4, 16):
            batch = (100, 20, width)
            for make in (Attention, MultiHead, Encoder):
                yield Case(
                    f"{make.__name__}, width {width}",
                    n_members,
                    lambda make=make, width=width: make(width),
                    batch,
                )
            for kind in (nn.LSTM, nn.GRU):
                yield Case(
                    f"{kind.__name__}, width {width}",
                    n_members,
                    lambda kind=kind, width=width: Recurrent(kind, width, width),
                    batch,
                )


def product_cases() -> Iterator[Case]:
    for n_inputs, width in ((20, 16), (100, 64), (784, 64), (784, 256), (784, 1024)):
        for n_members in (4, 16, 64):
            if n_members * width <= 4096:
                yield Case(
                    f"MLP {n_inputs}-{width}-10 with a weight of its own",
                    n_members,
                    lambda n=n_inputs, width=width: Scaled(n, width),
                    (100, n_inputs),
                )


CASES = {
    "paper": paper_cases,
    "images": convolution_cases,
    "series": series_cases,
    "sequences": sequence_cases,
    "products": product_cases,
}


WAYS = ("structural", "vmap", "channels_last")


def ways(modules: list[nn.Module], X: Tensor) -> dict[str, VectorizedModule]:
    """The members in each way that can run them."""
    found = {"loop": LoopModule.of(modules)}
    for method in ("structural", "vmap"):
        try:
            found[method] = vectorize_members(modules, method, example=X[:8])
        except ValueError:
            continue
    if X.dim() == 4:
        found["channels_last"] = LoopModule.of(modules, channels_last=True)
    return found


def step(module: VectorizedModule, X: Tensor, y: Tensor) -> Callable[[], None]:
    """One training step of all members, as a function without arguments."""
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-3, momentum=0.9)

    def run() -> None:
        optimizer.zero_grad()
        (joint_loss(module(X), y, 0.9) * module.n_members).backward()
        optimizer.step()

    return run


def measure(case: Case, rounds: int) -> None:
    """Print one row of the table."""
    torch.manual_seed(0)
    modules = [case.make() for _ in range(case.n_members)]
    X, y = torch.randn(case.batch), torch.randint(N_CLASSES, case.batch[:1])
    chosen = vectorize_members(modules, example=X[:8])
    steps = {name: step(module, X, y) for name, module in ways(modules, X).items()}
    times = interleave({**steps, "chosen": step(chosen, X, y)}, rounds)
    ratios = {
        name: f"{np.median(times[name] / times['loop']):.2f}" if name in times else "-"
        for name in (*WAYS, "chosen")
    }
    work = f"{multiplications_per_row(modules[0], X) / 1e3:.4g}"
    loop = f"{np.median(times['loop']) * 1e3:.1f}"
    which = chosen.reason.partition(":")[0].removeprefix("loop in ")
    label = f"{case.n_members} x {case.label}"
    print_row(label, case.batch[0], work, loop, *ratios.values(), which)


def print_row(label: str, *cells: object) -> None:
    print(f"{label:52}" + "".join(f"{cell!s:>15}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CASES)
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    print_row("members", "rows", "1000 mult/row", "loop ms", *WAYS, "chosen", "which")
    # What vmap is slow at is what is to be seen.
    warnings.filterwarnings("ignore", "There is a performance drop")
    for name, cases in CASES.items():
        if args.only in (None, name):
            for case in cases():
                measure(case, args.rounds)


if __name__ == "__main__":
    main()
