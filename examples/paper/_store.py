"""Results as tidy rows of CSV files, where a run that is known is not run again."""

import argparse
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from tqdm.auto import tqdm

import sklearn_jointens
from examples._data import Data, find_commit
from examples.benchmarks._report import cpu
from examples.paper._protocols import Case
from examples.paper._run import Outcome, run

KEYS = list(Case._fields)


class Store:
    """CSV files that each hold rows of every run.

    A run is known once its rows are in the first of the files, which are written last:
    what an interrupt has left of one in the others is dropped when the store is opened
    again.

    Parameters
    ----------
    folder : Path
    name : str
        Of the file that holds the figures of each run.
    parts : sequence of str
        Of others, which are called after it.
    """

    def __init__(self, folder: Path, name: str, parts: Sequence[str]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.name = folder, name
        self._known: set[tuple] = set()
        if self.path().exists():
            self._known = set(_runs(self.rows()))
        for path in map(self.path, parts):
            if path.exists():
                rows = pd.read_csv(path)
                is_known = np.array([run in self._known for run in _runs(rows)])
                if not is_known.all():
                    kept = path.with_suffix(".kept")
                    _write(rows[is_known], kept, "w")
                    kept.replace(path)

    def path(self, part: str = "") -> Path:
        """Of the runs' figures, or of a part."""
        return self.folder / f"{'_'.join(filter(None, (self.name, part)))}.csv"

    def __contains__(self, case: Case) -> bool:
        return tuple(case) in self._known

    def add(self, case: Case, final: Iterable[Any], **parts: Iterable[Any]) -> None:
        """Append the rows of a run."""
        for part, found in {**parts, "": final}.items():
            rows = pd.DataFrame([{**case._asdict(), **row} for row in found])
            path = self.path(part)
            if len(rows):
                _write(rows, path, "a")
        self._known.add(tuple(case))

    def rows(self, part: str = "") -> pd.DataFrame:
        """All that is in a file."""
        return pd.read_csv(self.path(part))


def _write(rows: pd.DataFrame, path: Path, mode: str) -> None:
    """With a digit more than float32 has, so that files stay small."""
    header = mode == "w" or not path.exists()
    rows.to_csv(path, mode=mode, header=header, index=False, float_format="%.9g")


def _runs(rows: pd.DataFrame) -> Iterable[tuple]:
    return rows[KEYS].itertuples(index=False, name=None)


def provenance(command: str, device: str) -> Mapping[str, str]:
    """What makes a row reproducible, beside its seed."""
    is_cuda = torch.device(device).type == "cuda"
    return {
        "command": command,
        "version": f"{sklearn_jointens.__version__} ({find_commit()})",
        "torch": torch.__version__,
        "machine": torch.cuda.get_device_name(device) if is_cuda else cpu(),
    }


def of_epochs(case: Case, outcome: Outcome, data: Data) -> dict[str, Iterable[Any]]:
    """Rows of a run by epoch."""
    return {"epochs": outcome.epochs}


def run_missing(
    cases: Iterable[Case],
    data: Data,
    store: Store,
    options: argparse.Namespace,
    parts: Callable[[Case, Outcome, Data], dict[str, Iterable[Any]]] = of_epochs,
) -> None:
    """Run what is not in a store, with a progress bar.

    Parameters
    ----------
    cases : iterable of Case
    data : Data
    store : Store
    options : Namespace
        Of the command line.
    parts : callable
        Rows of the other files, by the name of the part.
    """
    origin = provenance(_command(options.given), options.device)
    for case in tqdm(list(cases), unit="run"):
        if case in store:
            continue
        outcome = run(case, data, options.device)
        final = [{**row, **origin} for row in outcome.final]
        store.add(case, final, **parts(case, outcome, data))


def _command(given: Sequence[str]) -> str:
    """As it was given, without where files lie on this machine."""
    arguments = [Path(a).name if "/" in a else a for a in given]
    return shlex.join(["python", "-m", "examples.paper", *arguments])
