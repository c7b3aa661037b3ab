"""Training steps that are recorded once and replayed, where a replay is the step.

A step of small networks is many short kernels, and launching them takes longer than
they run. Recorded as one graph they are launched at once. A replay runs no Python and
reads the same memory every time; what follows makes sure that nothing is lost by that,
or leaves the step to skorch.
"""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from skorch.dataset import unpack_data
from torch import Tensor, nn
from tqdm.auto import tqdm

from sklearn_jointens.nn._random_state import host_random_state
from sklearn_jointens.training._batches import Batch
from sklearn_jointens.training._capturable import watches_batches, why_stock
from sklearn_jointens.training._cuda_graph import CudaGraphs

# What can capture, by the type of the device.
GRAPHS: dict[str, Any] = {"cuda": CudaGraphs}

# Steps that run as they are before one is captured, as torch advises: libraries choose
# their kernels and the optimizer makes its state.
_WARM_UP = 3

# A capture waits for the device and asks it for new memory. When captures turn out to
# be replayed less often than this, there are no more of them.
_WORTHWHILE_REPLAYS = 20
_TRIAL_CAPTURES = 3


@contextmanager
def step_graph(
    net: Any, step: Callable[..., dict[str, Any]]
) -> Iterator["StepGraph | None"]:
    """For one fit, what takes its training steps; None where steps are not captured.

    Parameters
    ----------
    net : JointNet
        Initialized. Its `stepping_` says afterwards what was done, and why.
    step : callable
        skorch's ``train_step`` of the net.

    Yields
    ------
    StepGraph or None
    """
    device = torch.device(net.device)
    if device.type not in GRAPHS:
        net.stepping_ = f"stock: steps are not captured on the device '{device.type}'"
        yield None
        return
    refused = why_stock(net)
    if refused is not None:
        net.stepping_ = f"stock: {refused}"
        _tell(net, refused)
        yield None
        return
    graphs = GRAPHS[device.type](device)
    with graphs.stepping(net.optimizer_):
        steps = StepGraph(net, step, graphs)
        try:
            yield steps
        finally:
            steps.close()


class StepGraph:
    """Takes training steps: as they are, and by replays once it has captured one.

    Parameters
    ----------
    net : JointNet
    step : callable
        skorch's ``train_step`` of the net.
    graphs : CudaGraphs

    Attributes
    ----------
    n_captures, n_replays : int
    refused : str or None
        Why there are no captures any more.
    """

    def __init__(self, net: Any, step: Callable[..., Any], graphs: Any) -> None:
        self.net, self.step, self.graphs = net, step, graphs
        self.n_captures = self.n_replays = self.n_steps = 0
        self.refused: str | None = None
        self._optimizer = net.optimizer_
        self._watches_batches = watches_batches(net)
        self._epoch = -1
        self._module_state: list[Any] = []
        self._settings: Any = None
        self._forget()

    def _forget(self) -> None:
        """Drop the graph and what it works on."""
        self._n_warm = 0
        self._shapes: Any = None
        self._replay: Callable[[], Any] | None = None
        self._static: list[Tensor | None] = []
        self._gradients: list[tuple[Tensor, Tensor]] = []
        self._gradients_in_place = False

    def run(self, batch: Any, fit_params: dict[str, Any]) -> dict[str, Any]:
        """One training step, and what skorch's ``train_step`` returns of it.

        Parameters
        ----------
        batch : Batch, or what else an iterator gives
        fit_params : dict
            Further arguments of the module's forward.

        Returns
        -------
        dict
            All its tensors are new ones.
        """
        self.n_steps += 1
        tensors = None
        if self.refused is None and not fit_params:
            self._start_anew_if_changed()
            tensors = _tensors(batch)
        if tensors is None or self.refused is not None or not self._is_alike(tensors):
            return self._as_it_is(batch, fit_params)
        if self._n_warm < _WARM_UP:
            return self._warm_up(batch)
        if self._replay is None and not self._capture(tensors):
            return self._as_it_is(batch, fit_params)
        return self._replayed(tensors)

    def close(self) -> None:
        """End of the fit: give the memory back and say what was done."""
        if self._replay is not None:
            self._optimizer.zero_grad()  # gradients are in the memory of the graph
        self._forget()
        if self.n_replays:
            done = f"captured: {self.n_replays} of {self.n_steps} steps were replays"
            self.net.stepping_ = f"{done}; {self.refused}" if self.refused else done
        else:
            reason = self.refused or "no step was repeated often enough"
            self.net.stepping_ = f"stock: {reason}"

    # -- when a graph holds ----------------------------------------------------------

    def _start_anew_if_changed(self) -> None:
        """Numbers are constants in a graph: another learning rate is another graph."""
        net = self.net
        if net.optimizer_ is not self._optimizer:
            self._refuse("the optimizer was replaced")
            return
        if len(net.history) != self._epoch or self._watches_batches:
            self._epoch = len(net.history)
            self._module_state = module_state(net.plain_module)
        groups = [
            [value for name, value in group.items() if name != "params"]
            for group in self._optimizer.param_groups
        ]
        settings = (net.lam_, net.precision_, groups, self._module_state)
        if settings == self._settings:
            return
        self._settings = settings
        enough = _WORTHWHILE_REPLAYS * self.n_captures
        if self.n_captures >= _TRIAL_CAPTURES and self.n_replays < enough:
            self._refuse("the optimizer's settings or the module change too often")
        self._forget()

    def _is_alike(self, tensors: list[Tensor | None]) -> bool:
        """Whether a batch is shaped as the first one was; others run as they are."""
        shapes = [None if t is None else (t.shape, t.dtype) for t in tensors]
        if self._shapes is None:
            self._shapes = shapes
        return shapes == self._shapes

    def _refuse(self, reason: str) -> None:
        self.refused = reason
        _tell(self.net, reason)

    # -- three kinds of steps --------------------------------------------------------

    def _as_it_is(self, batch: Any, fit_params: dict[str, Any]) -> dict[str, Any]:
        self._gradients_in_place = False
        return self.step(batch, **fit_params)

    def _warm_up(self, batch: Any) -> dict[str, Any]:
        """A step as it is; of the last one, look for what a graph would not repeat."""
        self._n_warm += 1
        if self._n_warm < _WARM_UP:
            return self._as_it_is(batch, {})
        module = self.net.plain_module
        before = host_random_state(), module_state(module)
        with self.graphs.watching() as waits:
            step = self._as_it_is(batch, {})
        if waits:
            self._refuse(f"a step waits for the device ({waits[0]})")
        elif (host_random_state(), module_state(module)) != before:
            self._refuse(
                "a step draws random numbers on the host, or changes the module "
                "otherwise than in its tensors"
            )
        return step

    def _capture(self, tensors: list[Tensor | None]) -> bool:
        self._static = [
            None if t is None else torch.empty_like(t, device=self.graphs.device)
            for t in tensors
        ]
        batch = Batch(*self._static)
        try:
            # Without their history, which would keep what the backward pass needed.
            self._replay = self.graphs.capture(
                lambda: _mapped(self.step(batch), Tensor.detach)
            )
        except Exception as error:
            # Nothing has been computed, so that the step can be taken as it is; an
            # error of its own comes again there.
            message = str(error).strip().split("\n")[0]
            self._refuse(f"the capture failed ({type(error).__name__}: {message})")
            self._forget()
            return False
        self.n_captures += 1
        self._gradients = [
            (parameter, parameter.grad)
            for parameter in self.net.plain_module.parameters()
            if parameter.grad is not None
        ]
        return True

    def _replayed(self, tensors: list[Tensor | None]) -> dict[str, Any]:
        assert self._replay is not None
        for static, given in zip(self._static, tensors, strict=True):
            if static is not None and given is not None:
                static.copy_(given, non_blocking=True)
        outputs = self._replay()
        self.n_replays += 1
        # As skorch's step leaves it all, for callbacks that look.
        if not self._gradients_in_place:
            for parameter, gradient in self._gradients:
                parameter.grad = gradient
            self._gradients_in_place = True
        if not self.net.module_.training:
            self.net._set_training(True)
        return _mapped(outputs, Tensor.clone)


def module_state(module: nn.Module) -> list[Any]:
    """What a forward pass depends on, besides the values in tensors.

    Parameters
    ----------
    module : Module

    Returns
    -------
    list
        Plain attributes of all submodules, and where all tensors are in memory.
    """
    state: list[Any] = []
    for part in module.modules():
        held = (vars(part).items(), part._parameters.items(), part._buffers.items())
        for name, value in itertools.chain(*held):
            if name == "training":  # which every step sets
                continue
            if isinstance(value, Tensor):
                state.append((name, value.data_ptr(), value.requires_grad))
            elif isinstance(value, bool | int | float | str):
                state.append((name, value))
    return state


def _tensors(batch: Any) -> list[Tensor | None] | None:
    """X, y and the weights of a batch; None for anything else."""
    X, y = unpack_data(batch)
    if isinstance(X, Tensor) and isinstance(y, Tensor):
        return [X, y, getattr(batch, "weight", None)]
    return None


def _mapped(
    value: Any,
    function: Callable[[Tensor], Tensor],
    done: dict[int, Tensor] | None = None,
) -> Any:
    """`value` with `function` of each tensor in it, once for each."""
    done = {} if done is None else done
    if isinstance(value, Tensor):
        if id(value) not in done:
            done[id(value)] = function(value)
        return done[id(value)]
    if isinstance(value, dict):
        return {name: _mapped(part, function, done) for name, part in value.items()}
    if isinstance(value, tuple):  # a named one
        return type(value)(*(_mapped(part, function, done) for part in value))
    return value


def _tell(net: Any, reason: str) -> None:
    if net.verbose:
        tqdm.write(f"Training steps are not captured as a CUDA graph: {reason}.")
