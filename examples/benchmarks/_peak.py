"""Peak memory of a task, in a process of its own."""

import gc
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

MEGABYTE = 1e6
_PROCESS = Path("/proc/self")

# Reads, and sets back, what Linux keeps of a process.
AVAILABLE = (_PROCESS / "clear_refs").exists()


def in_own_process(function: Callable[..., Any], *arguments: Any) -> Any:
    """What the function returns there: this process has had peaks of its own."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as process:
        return process.submit(function, *arguments).result()


def peak_megabytes(task: Callable[[], Any]) -> float:
    """The most memory that the process has held during a call, above that before it.

    Pages of files, such as memory maps, do not count: the system takes them back when
    it needs the room.
    """
    gc.collect()
    (_PROCESS / "clear_refs").write_text("5")  # the peak is now what is held
    before = _status()
    task()
    after = _status()
    of_files = after["RssFile"] - before["RssFile"]
    return (after["VmHWM"] - before["VmRSS"] - of_files) * 1024 / MEGABYTE


def _status() -> dict[str, int]:
    """Memory of this process, in kB."""
    lines = (_PROCESS / "status").read_text().splitlines()
    sizes = (line.split() for line in lines if line.endswith("kB"))
    return {name.rstrip(":"): int(size) for name, size, _ in sizes}
