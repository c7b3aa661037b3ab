"""The file: tensors and a text in the safetensors format, with a checksum of both."""

import hashlib
import json
import os
import uuid
from contextlib import suppress
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor

from sklearn_jointens._persistence._rules import in_short

_FORMAT = "sklearn_jointens.JointEnsembleClassifier"
VERSION = "2"


def write(path: str, text: str, tensors: dict[str, Tensor]) -> None:
    """Write all of a file or nothing, with what it takes to know it again."""
    metadata = {
        "format": _FORMAT,
        "version": VERSION,
        "state": text,
        "sha256": checksum(text, tensors),
    }
    write_whole(path, serialize(tensors, metadata))


def write_whole(path: str, data: bytes) -> None:
    """Write all of a file or nothing: an earlier file stays until this is whole."""
    draft = f"{path}.{uuid.uuid4().hex}"
    try:
        with open(draft, "xb") as file:
            file.write(data)
        os.replace(draft, path)
    except OSError as error:
        if error.filename != draft:
            raise
        raise OSError(error.errno, error.strerror, path) from None
    finally:
        with suppress(OSError):
            os.remove(draft)


def read(path: str) -> tuple[dict[str, Any], dict[str, Tensor], int]:
    """What was written, the text as the dict that it is, and how many bytes it was."""
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != _FORMAT:
                raise ValueError(f"{path!r} was not written by save().")
            version = metadata.get("version", "")[:20]
            if version != VERSION:
                raise ValueError(
                    f"{path!r} is of version {version!r}; this sklearn_jointens reads "
                    f"version {VERSION}."
                )
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path!r} is truncated or was not written by save(): {in_short(error)}."
        ) from error
    text = metadata.get("state", "")
    if metadata.get("sha256") != checksum(text, tensors):
        raise ValueError(f"{path!r} is damaged: its checksum is not that of its data.")
    try:
        state = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path!r} was not written by save(): {in_short(error)}."
        ) from error
    if not isinstance(state, dict):
        raise ValueError(f"{path!r} was not written by save().")
    return state, tensors, size_of(text, tensors)


def size_of(text: str, tensors: dict[str, Tensor]) -> int:
    """Bytes of what is kept."""
    return len(text) + sum(tensor.nbytes for tensor in tensors.values())


def checksum(text: str, tensors: dict[str, Tensor]) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        entry = [name, str(tensor.dtype), list(tensor.shape)]
        digest.update(json.dumps(entry).encode())
        digest.update(tensor.flatten().view(torch.uint8).numpy())
    return digest.hexdigest()
