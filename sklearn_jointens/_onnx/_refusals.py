"""What cannot be exported says why, before any work."""

from typing import Any

import torch

from sklearn_jointens._onnx._answers import plain_classes
from sklearn_jointens._onnx._rows import categories_of
from sklearn_jointens.training._prediction import own_batches
from sklearn_jointens.training._seams import overrides
from sklearn_jointens.training._targets import ClassTargets

_DTYPES = (torch.float32, torch.float64)

# What a file of ONNX can hold, which is one message of Protocol Buffers.
_MOST_BYTES = 2**31 - 1


def check_exportable(ensemble: Any) -> None:
    """Raise where an ensemble predicts in a way that no graph can hold.

    Parameters
    ----------
    ensemble : fitted ensemble
    """
    net = ensemble.net_
    own = [*(["infer"] if overrides(net, "infer") else []), *own_batches(net)]
    if own:
        raise ValueError(
            f"The {own[0]!r} of the member must be skorch's own in an ensemble that "
            "becomes an ONNX graph, which is given rows of X and holds what the module "
            "makes of them: put what it does into the module, or before the ensemble. "
            f"Got {type(net).prototype_class.__name__} with one of its own instead."
        )
    dtypes = {part.dtype for part in net.plain_module.parameters()}
    if not dtypes <= {*_DTYPES}:
        raise ValueError(
            "The weights of the members must be of torch.float32 or torch.float64, "
            "which ONNX runtimes compute in. Got "
            f"{sorted(map(str, dtypes.difference(_DTYPES)))} instead."
        )
    parts = [*net.plain_module.parameters(), *net.plain_module.buffers()]
    n_bytes = sum(part.nbytes for part in parts)
    if n_bytes > _MOST_BYTES:
        raise ValueError(
            "The weights of the members must take less than 2 GiB, which is what an "
            f"ONNX file can hold. Got {n_bytes / 2**30:.1f} GiB instead; drop_members "
            "makes a smaller ensemble."
        )
    categories_of(ensemble)
    if isinstance(net.targets_, ClassTargets):
        plain_classes(net.targets_.classes)
