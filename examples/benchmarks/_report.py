"""Figures on paper: as JSON, and as tables for the README and the documentation."""

import csv
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import skorch
import torch

from examples.benchmarks._measure import Figure

COLUMNS = ("question", "members", "figure", "median", "quartiles", "target", "")


def machine(device: str) -> dict[str, Any]:
    """What the figures are measured on."""
    described = {
        "cpu": cpu(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "skorch": skorch.__version__,
        "scikit-learn": sklearn.__version__,
        "device": device,
    }
    if torch.device(device).type == "cuda":
        described["gpu"] = torch.cuda.get_device_name(device)
        described["cuda"] = torch.version.cuda
    return described


def cpu() -> str:
    """Name of the processor."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def one_line(described: dict[str, Any]) -> str:
    """The machine, or any other description, as text."""
    return ", ".join(f"{key}: {value}" for key, value in described.items())


def cells(figures: Sequence[Figure]) -> list[list[str]]:
    """A row of text for each figure, below a row of headings."""
    return [
        list(COLUMNS),
        *(
            [
                f.question,
                f.subject,
                f.what,
                f"{f.median:.3g} {f.unit}".strip(),
                # Nothing where there was one measurement.
                "" if f.low == f.high else f"{f.low:.3g} to {f.high:.3g}",
                f.target,
                f.verdict,
            ]
            for f in figures
        ),
    ]


def markdown(figures: Sequence[Figure]) -> str:
    """Figures as a Markdown table, aligned for reading as it is."""
    rows = cells(figures)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def write_json(path: Path, described: dict[str, Any], figures: list[Figure]) -> None:
    """All there is to know, for programs to read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [{**f._asdict(), "verdict": f.verdict} for f in figures]
    path.write_text(json.dumps({**described, "figures": rows}, indent=1) + "\n")


def read_json(path: Path, described: dict[str, Any]) -> list[Figure]:
    """The figures of a file of `write_json` that were measured in the same way.

    Raises
    ------
    ValueError
        The file says of its machine what `described` does not say.
    """
    content = json.loads(path.read_text())
    rows = content.pop("figures")
    if content != described:
        raise ValueError(
            f"{path} must be of the same machine, data and rounds: {described}. "
            f"Got {content} instead."
        )
    return [Figure(**{name: row[name] for name in Figure._fields}) for row in rows]


def write_tables(
    folder: Path, name: str, described: dict[str, Any], figures: list[Figure]
) -> None:
    """Markdown tables below a line on the machine, and a CSV file of the same rows.

    Figures that have a target come first, in a table of their own.
    """
    folder.mkdir(parents=True, exist_ok=True)
    parts = [one_line(described), markdown([f for f in figures if f.target])]
    parts += ["Besides:", markdown([f for f in figures if not f.target])]
    (folder / f"{name}.md").write_text("\n\n".join(parts) + "\n")
    with (folder / f"{name}.csv").open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(cells(figures))
