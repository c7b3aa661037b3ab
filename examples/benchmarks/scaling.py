"""How cost grows with members, rows, classes and features; data and a picture.

::

    python -m examples.benchmarks.scaling                      # 10 minutes, 5 GB
    python -m examples.benchmarks.scaling --out docs/images
    python -m examples.benchmarks.scaling --curves rows --largest 100000

======== ===========================================================================
members  training step of M members of 1024 / M hidden units / that of one wide network
rows     whole JointEnsembleClassifier.fit of one epoch
classes  training step, of all members and of one wide network
features the same
======== ===========================================================================
"""

import argparse
from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._report import machine, markdown, one_line
from examples.benchmarks._setting import ONE_CONFIG, WIDE, Setting, synthetic
from examples.benchmarks._steps import joint_step, single_step, time_steps
from examples.benchmarks.plot_scaling import draw

# Rows of which steps are timed.
_N_ROWS = 4000


class Point(NamedTuple):
    """One size on a curve.

    Attributes
    ----------
    curve : str
        What grows.
    series : str
        What is measured.
    size : int
        How far it has grown.
    median, low, high : float
        Over the rounds; `low` and `high` are the quartiles.
    unit : str
        Of these.
    """

    curve: str
    series: str
    size: int
    median: float
    low: float
    high: float
    unit: str


def members(sizes: Sequence[int], rounds: int, device: str) -> Iterator[Point]:
    """Steps of all numbers of members, and of the wide network, in turns."""
    setting = Setting(synthetic(_N_ROWS), 1, WIDE, device)
    steps = {"wide": single_step(setting.wide())}
    for size in sizes:
        sized = Setting(setting.data, size, WIDE // size, device)
        steps[str(size)] = joint_step(sized.vectorized())
    times = time_steps(steps, setting.batches(), 3 * rounds, device)
    for size in sizes:
        yield point("members", "joint", size, times[str(size)] / times["wide"], "x")


def rows(sizes: Sequence[int], rounds: int, device: str) -> Iterator[Point]:
    """Whole fits, microseconds a row."""
    setting = Setting(synthetic(max(sizes)), *ONE_CONFIG, device)
    ensemble = setting.ensemble(epochs=1)
    fits = {str(n): lambda n=n: ensemble.fit(*setting.rows(n)) for n in sizes}
    times = interleave(fits, rounds, device, warm_ups={"fit": fits[str(min(sizes))]})
    for n in sizes:
        yield point("rows", "joint", n, 1e6 * times[str(n)] / n, "us a row")


def classes(sizes: Sequence[int], rounds: int, device: str) -> Iterator[Point]:
    """Steps in milliseconds."""
    for size in sizes:
        data = synthetic(_N_ROWS, n_classes=size)
        yield from _steps_of(
            "classes", size, Setting(data, *ONE_CONFIG, device), rounds
        )


def features(sizes: Sequence[int], rounds: int, device: str) -> Iterator[Point]:
    """Steps in milliseconds."""
    for size in sizes:
        data = synthetic(_N_ROWS, n_features=size)
        yield from _steps_of(
            "features", size, Setting(data, *ONE_CONFIG, device), rounds
        )


def _steps_of(curve: str, size: int, setting: Setting, rounds: int) -> Iterator[Point]:
    steps = {
        "joint": joint_step(setting.vectorized()),
        "wide": single_step(setting.wide()),
    }
    times = time_steps(steps, setting.batches(), 3 * rounds, setting.device)
    for name, values in times.items():
        yield point(curve, name, size, 1e3 * values, "ms a step")


def point(curve: str, series: str, size: int, values: np.ndarray, unit: str) -> Point:
    """Median and quartiles of `values` as a Point."""
    low, median, high = np.quantile(values, [0.25, 0.5, 0.75]).tolist()
    return Point(curve, series, size, median, low, high, unit)


Curve = Callable[[Sequence[int], int, str], Iterator[Point]]
CURVES: dict[str, tuple[Curve, Sequence[int]]] = {
    "members": (members, [2**k for k in range(11)]),
    "rows": (rows, [10_000, 30_000, 100_000, 300_000, 1_000_000]),
    "classes": (classes, [2, 5, 10, 20, 50, 100, 200, 500, 1000]),
    "features": (features, [10, 30, 100, 300, 1000, 3000, 10_000]),
}


def summary(points: Sequence[Point]) -> Iterator[Figure]:
    """Yield whether the curve of members is flat, and whether others have a cliff.

    Neighbouring sizes are a few times apart. Where cost has grown by more than the size
    has, it does not grow linearly; a quarter is left to caches and to noise.
    """
    for curve in CURVES:
        own = [p for p in points if p.curve == curve and p.series == "joint"]
        if curve == "members" and own:
            for most in (256, WIDE):
                largest = max(p.median for p in own if p.size <= most)
                what = f"largest joint step / wide step, up to {most:,} members"
                yield figure("scaling", curve, what, largest, target="<= 1.2")
        elif len(own) > 1:
            growths = [
                # Costs of rows are given for one row, and have been divided already.
                b.median / a.median * (1 if curve == "rows" else a.size / b.size)
                for a, b in pairwise(own)
            ]
            what = "largest growth of cost from a size to the next / growth of size"
            yield figure("scaling", curve, what, max(growths), target="<= 1.25")


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--curves", nargs="+", choices=CURVES, default=list(CURVES))
    add("--largest", type=int, default=10**6, help="leave out larger sizes")
    add("--device", default="cpu")
    add("--rounds", type=int, default=5)
    add("--out", type=Path, default=Path("output"), help="folder for data and picture")
    return parser.parse_args(arguments)


def main() -> None:
    """Measure, and write a CSV file and a picture after every curve."""
    options = parse_options()
    described = {**machine(options.device), "rounds": options.rounds}
    on_cuda = torch.device(options.device).type == "cuda"
    path = options.out / ("scaling_cuda.csv" if on_cuda else "scaling.csv")
    options.out.mkdir(parents=True, exist_ok=True)
    points: list[Point] = []
    with tqdm(options.curves, unit="curve") as bar:
        for name in bar:
            bar.set_description(name)
            measure, sizes = CURVES[name]
            sizes = [size for size in sizes if size <= options.largest]
            points += measure(sizes, options.rounds, options.device)
            table = pd.DataFrame(points).assign(machine=one_line(described))
            table.to_csv(path, index=False)
            draw(table, path.with_suffix(".png"))
    print(f"\n{one_line(described)}\n\n{markdown(list(summary(points)))}")
    print(f"\nWritten: {path} and .png")


if __name__ == "__main__":
    main()
