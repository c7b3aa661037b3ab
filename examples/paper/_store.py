"""Results as tidy rows of CSV files, where a run that is known is not run again."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

import sklearn_jointens
from examples._data import find_commit
from examples.benchmarks._report import cpu


class Store:
    """CSV files that each hold rows of every run.

    A run is known once its rows are in the last of the files: what an interrupt has
    left of one in the others is dropped when the store is opened again.

    Parameters
    ----------
    folder : Path
    names : sequence of str
        Of the files, without suffix.
    keys : sequence of str
        Columns that tell runs apart.
    """

    def __init__(self, folder: Path, names: Sequence[str], keys: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.paths = {name: folder / f"{name}.csv" for name in names}
        self.keys = list(keys)
        self._known: set[tuple] = set()
        *others, last = self.paths.values()
        if last.exists():
            self._known = set(self._runs(pd.read_csv(last)))
        for path in others:
            if path.exists():
                rows = pd.read_csv(path)
                is_known = [run in self._known for run in self._runs(rows)]
                rows[is_known].to_csv(path, index=False)

    def __contains__(self, run: Mapping[str, Any]) -> bool:
        return tuple(run[key] for key in self.keys) in self._known

    def add(self, run: Mapping[str, Any], parts: Mapping[str, Iterable[Any]]) -> None:
        """Append the rows of a run, by the name of the file."""
        for name, path in self.paths.items():
            rows = pd.DataFrame([{**run, **row} for row in parts[name]])
            rows.to_csv(path, mode="a", header=not path.exists(), index=False)
        self._known.add(tuple(run[key] for key in self.keys))

    def rows(self, name: str) -> pd.DataFrame:
        """All that is in a file."""
        return pd.read_csv(self.paths[name])

    def _runs(self, rows: pd.DataFrame) -> list[tuple]:
        return list(rows[self.keys].itertuples(index=False, name=None))


def provenance(command: str) -> dict[str, str]:
    """What makes a row reproducible, beside its seed."""
    has_cuda = torch.cuda.is_available()
    return {
        "command": command,
        "version": f"{sklearn_jointens.__version__} ({find_commit()})",
        "torch": torch.__version__,
        "machine": torch.cuda.get_device_name() if has_cuda else cpu(),
    }
