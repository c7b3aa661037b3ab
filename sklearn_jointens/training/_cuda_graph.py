"""CUDA's part of captured steps: the stream, the graph, and the optimizer's counters.

What is captured, and when, is decided in ``_step_graph.py``.
"""

import functools
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

# Counters that torch's optimizers keep on the host unless they are to be captured.
_COUNTERS = ("step", "mu_product")


@functools.cache
def _side_stream(index: int) -> torch.cuda.Stream:
    """The stream that fits on a device run on: the default one cannot be captured.

    One for all fits, so that they use each other's cached memory.
    """
    return torch.cuda.Stream(device=index)


class CudaGraphs:
    """Captures functions as CUDA graphs.

    Parameters
    ----------
    device : str or torch.device
    """

    def __init__(self, device: str | torch.device) -> None:
        self.device = torch.device(device)
        index = self.device.index
        self.stream = _side_stream(
            torch.cuda.current_device() if index is None else index
        )

    @contextmanager
    def stepping(self, optimizer: torch.optim.Optimizer) -> Iterator[None]:
        """A block whose training steps can be captured.

        All of it runs on the side stream: gradients are accumulated on the stream of
        the first step, which must be the one that is captured.
        """
        around = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(around)
        try:
            with torch.cuda.stream(self.stream), _capturable(optimizer):
                yield
        finally:
            around.wait_stream(self.stream)

    @contextmanager
    def watching(self) -> Iterator[list[str]]:
        """A list that holds, after the block, where it has waited for the device."""
        waits: list[str] = []
        mode = torch.cuda.get_sync_debug_mode()
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                torch.cuda.set_sync_debug_mode("warn")
                yield waits
            finally:
                torch.cuda.set_sync_debug_mode(mode)
        for warning in caught:
            message = str(warning.message)
            if "synchronizing CUDA operation" in message:
                waits.append(f"{warning.filename}:{warning.lineno}")
            elif "Synchronization debug mode" not in message:  # torch, of the mode
                warnings.warn_explicit(
                    warning.message, warning.category, warning.filename, warning.lineno
                )

    def capture(self, function: Callable[[], Any]) -> Callable[[], Any]:
        """Record what `function` launches, without running it.

        Parameters
        ----------
        function : callable

        Returns
        -------
        callable
            Runs what was recorded, and returns what `function` returned: the same
            tensors every time, with new values.
        """
        graph = torch.cuda.CUDAGraph()
        # Other threads may go on using CUDA. The stream is already the current one,
        # and so it stays when a capture ends in an error.
        with torch.cuda.graph(
            graph, stream=self.stream, capture_error_mode="thread_local"
        ):
            outputs = function()

        def replay() -> Any:
            graph.replay()
            return outputs

        return replay


@contextmanager
def _capturable(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The optimizer's counters on the device for a block, and as they were after it.

    On the host, a replay would not advance them. They go back because an optimizer
    that is marked capturable refuses to go on with weights on the CPU.
    """
    groups = [
        group
        for group in optimizer.param_groups
        if group.get("capturable") is False  # SGD has no counters and no such entry
    ]
    # torch warns of a capturable optimizer whose steps are not captured, as the first
    # ones are not.
    optimizer._warned_capturable_if_run_uncaptured = True
    for group in groups:
        group["capturable"] = True
        _move_counters(optimizer, group, to_device=True)
    try:
        yield
    finally:
        for group in groups:
            group["capturable"] = False
            if not group.get("fused"):
                _move_counters(optimizer, group, to_device=False)


def _move_counters(
    optimizer: torch.optim.Optimizer, group: dict[str, Any], to_device: bool
) -> None:
    for parameter in group["params"]:
        state = optimizer.state.get(parameter, {})
        for name in state.keys() & set(_COUNTERS):
            device = parameter.device if to_device else torch.device("cpu")
            state[name] = state[name].to(device)
