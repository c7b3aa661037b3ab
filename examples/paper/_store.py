"""Results as tidy rows of CSV files, where a run that is known is not run again."""

import platform
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import sklearn_jointens
from examples._data import find_commit


class Store:
    """One CSV file, a row for each run or for each step of one.

    Parameters
    ----------
    path : Path
    keys : sequence of str
        Columns that tell runs apart.
    """

    def __init__(self, path: Path, keys: Sequence[str]) -> None:
        self.path, self.keys = path, list(keys)
        self._known: set[tuple] = set()
        if path.exists():
            self._known = set(self._key_columns(self.rows()))

    def rows(self) -> pd.DataFrame:
        """All that is known."""
        return pd.read_csv(self.path)

    def __contains__(self, run: dict[str, Any]) -> bool:
        return tuple(run[key] for key in self.keys) in self._known

    def add(self, run: dict[str, Any], rows: Iterable[dict[str, Any]]) -> None:
        """Append the rows of a run."""
        frame = pd.DataFrame([{**run, **row} for row in rows])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        frame.to_csv(self.path, mode="a", header=not self.path.exists(), index=False)
        self._known.add(tuple(run[key] for key in self.keys))

    def _key_columns(self, frame: pd.DataFrame) -> Iterable[tuple]:
        return frame[self.keys].itertuples(index=False, name=None)


def provenance(command: str) -> dict[str, str]:
    """What makes a row reproducible beside its seed."""
    return {
        "command": command,
        "version": f"{sklearn_jointens.__version__} ({find_commit()})",
        "torch": torch.__version__,
        "machine": _machine(),
    }


def _machine() -> str:
    """The device or processor."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo")
    if lines.exists():
        for line in lines.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
