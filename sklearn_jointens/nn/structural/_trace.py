"""Writing down what a member's forward does, with torch.fx."""

import functools
from typing import Any

import torch
from torch import Tensor, fx, nn

from sklearn_jointens.nn._architecture import plain_settings
from sklearn_jointens.nn._random_state import draws_on_host
from sklearn_jointens.nn._way import CannotVectorize
from sklearn_jointens.nn.structural._tables import is_layer


def trace(member: nn.Module) -> fx.Graph:
    """The graph of a member's forward, in the mode that it is in.

    Parameters
    ----------
    member : Module
        A copy, which is of no use afterwards.

    Returns
    -------
    graph : torch.fx.Graph
        Of a module that holds the member as its child ``member``.

    Raises
    ------
    CannotVectorize
        If a graph cannot say all that the forward does.
    """
    settings = plain_settings(member)
    try:
        draws, graph = draws_on_host(lambda: _Tracer().trace(member))
    except CannotVectorize:
        raise
    except Exception as error:
        # A forward may do anything with a traced value, so anything may be raised.
        message = str(error).strip().split("\n")[0]
        raise CannotVectorize(
            f"its forward cannot be traced ({type(error).__name__}: {message})"
        ) from error
    if draws or plain_settings(member) != settings:
        # What a forward pass draws or counts in Python, a trace keeps as a constant.
        raise CannotVectorize(
            "its forward draws random numbers on the host, or changes the module "
            "otherwise than in its tensors"
        )
    return graph


class _Tracer(fx.Tracer):
    """Traces one module, and is seen by that module alone.

    torch's own `trace` exchanges `nn.Module.__call__` for the whole process while it
    runs, so that modules in other threads fail. Here each layer of the module has its
    own `forward` exchanged, in the module that is given, which is a copy.
    """

    def __init__(self) -> None:
        super().__init__()
        self._modes = _modes()

    def trace(self, root: Any, concrete_args: Any = None) -> fx.Graph:
        # As a child, a member that is itself a torch layer stays whole.
        self.root = nn.ModuleDict({"member": root})
        self.tensor_attrs = {}
        self.graph = fx.Graph(tracer_cls=type(self))
        parts = dict(self.root.named_modules())
        layers = {path: part for path, part in parts.items() if is_layer(part)}
        for path, part in parts.items():
            for kind in ("_parameters", "_buffers"):
                setattr(part, kind, _Tensors(getattr(part, kind), self, path))
        for path, layer in layers.items():
            vars(layer)["forward"] = functools.partial(self._call_layer, path)
        output = root(self.create_proxy("placeholder", "x", (), {}))
        for layer in layers.values():
            del vars(layer)["forward"]
        self.create_node("output", "output", (self.create_arg(output),), {})
        return self.graph

    def _call_layer(self, path: str, *args: Any, **kwargs: Any) -> fx.Proxy:
        return self.create_proxy("call_module", path, args, kwargs)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        if _modes() != self._modes:
            # A trace forgets the block that a call was made in.
            raise CannotVectorize("its forward switches gradients or autocast")
        return super().create_node(*args, **kwargs)


class _Tensors(dict):
    """A module's parameters or buffers, which a forward gets to see as proxies only."""

    def __init__(self, tensors: dict[str, Tensor], tracer: _Tracer, path: str):
        super().__init__(tensors)
        self._tracer, self._path = tracer, path

    def __getitem__(self, name: str) -> Any:
        if super().__getitem__(name) is None:
            return None
        return self._tracer.create_proxy("get_attr", f"{self._path}.{name}", (), {})


def _modes() -> tuple[Any, ...]:
    of_autocast = [
        (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
        for device in ("cpu", "cuda")
    ]
    return torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *of_autocast
