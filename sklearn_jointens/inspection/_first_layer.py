"""The weights that members look at their inputs with, as images."""

from typing import Any

import numpy as np
import torch
from torch import nn

_KINDS = (nn.Linear, nn.Conv2d)


def first_layer_filters(
    caller: str, modules: list[nn.Module], layer: str | None, image_shape: Any
) -> np.ndarray:
    """Filters of each member's first layer.

    Parameters
    ----------
    caller : str
        Who asks, for messages.
    modules : list of Module
        Of the members, all alike.
    layer : str or None
        Name of the layer, as ``named_modules`` has it. ``None`` is the first one that
        has weights.
    image_shape : tuple of int or None
        (height, width) or (channels, height, width) of the inputs of a linear layer.

    Returns
    -------
    ndarray of shape (n_members, n_filters, n_channels, height, width)

    Raises
    ------
    TypeError
        The layer is neither linear nor a convolution of images.
    ValueError
        There is no such layer, or its inputs are no such images.
    """
    name = _first_with_weights(modules[0]) if layer is None else layer
    known = dict(modules[0].named_modules())
    if name not in known:
        raise ValueError(
            f"The 'layer' parameter of {caller} must be None or the name of one of the "
            f"member's layers, {_drawable(modules[0])}. Got {layer!r} instead."
        )
    if not isinstance(known[name], _KINDS):
        raise TypeError(
            f"The 'layer' parameter of {caller} must name a Linear or Conv2d layer "
            f"that images come to, one of {_drawable(modules[0])}. Got {layer!r}, "
            f"which is {name!r}, a {type(known[name]).__name__}, instead."
        )
    weights = [module.get_submodule(name).weight for module in modules]
    filters = torch.stack([weight.detach().cpu().float() for weight in weights]).numpy()
    if filters.ndim == 5:
        return filters
    return filters.reshape(
        *filters.shape[:2],
        *_channels_first(caller, name, filters.shape[2], image_shape),
    )


def _first_with_weights(module: nn.Module) -> str:
    """Name of the first layer that holds anything: a tabular member's encoding, say."""
    return next(
        (
            name
            for name, layer in module.named_modules()
            if any(True for _ in (*layer.parameters(False), *layer.buffers(False)))
        ),
        "",
    )


def _drawable(module: nn.Module) -> list[str]:
    return [name for name, each in module.named_modules() if isinstance(each, _KINDS)]


def _channels_first(
    caller: str, name: str, n_inputs: int, image_shape: Any
) -> tuple[int, int, int]:
    shape = () if image_shape is None else tuple(image_shape)
    if len(shape) not in (2, 3) or np.prod(shape) != n_inputs:
        raise ValueError(
            f"The 'image_shape' parameter of {caller} must be (height, width) or "
            f"(channels, height, width) of images with {n_inputs} values, which the "
            f"linear layer {name!r} takes. Got {image_shape!r} instead."
        )
    return (1, *shape)[-3:]
