"""Ways to damage a saved ensemble, and to change it on purpose."""

import copy
import json
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save

from sklearn_jointens._persistence._container import checksum

Random = np.random.Generator

# JSON that is nested deeper than any parser likes; it cannot be made by `dumps`.
_DEEP = "deep" * 4

NASTY: tuple[Any, ...] = (
    *(None, True, -1, 10**30, 10**4200, 2**63, 2**62, 10**9, 0.5, 1e308),
    *(float("nan"), float("inf"), float("-inf"), "", "no", "x" * 100_000, _DEEP),
    *("<U300000000", "<f8,<f8", "(3000000000,)<f8", "object", "V8", "torch.load"),
    *([], {}, [[]], [1] * 100_000, [[[[[]]]]], {"part": "os"}, {"part": []}),
    *({"kind": ["os", {}]}, {"kind": []}, {"code": "import os"}, {"tensor": "more.0"}),
    *({"dict": [[[], 1]]}, {"list": 3}, {"tuple": [1] * 100_000}, {"a": 1, "b": 2}),
)


# -- damage ----------------------------------------------------------------------------


def flip_bit(data: bytes, random: Random) -> bytes:
    changed = bytearray(data)
    changed[random.integers(len(data))] ^= 1 << int(random.integers(8))
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    return data[: random.integers(len(data))]


def lengthen(data: bytes, random: Random) -> bytes:
    return data + random.bytes(int(random.integers(1, 100)))


def swap_chunks(data: bytes, random: Random) -> bytes:
    size = int(random.integers(1, 200))
    first, second = sorted(random.choice(len(data) - size, 2, replace=False))
    if first + size > second:
        return duplicate_chunk(data, random)
    one, other = data[first : first + size], data[second : second + size]
    between, rest = data[first + size : second], data[second + size :]
    return data[:first] + other + between + one + rest


def duplicate_chunk(data: bytes, random: Random) -> bytes:
    start, size = random.integers(len(data)), random.integers(1, 200)
    return data[: start + size] + data[start:]


def edit_header(data: bytes, random: Random) -> bytes:
    """Change an entry of the container, and leave the checksum as it was."""
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + size])
    _change_leaf(header, random)
    text = _dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data[8 + size :]


# -- intent: the checksum is made anew -------------------------------------------------


def change_state(data: bytes, random: Random) -> bytes:
    """Put something else into one place of the JSON."""
    metadata, state, tensors = _open(data)
    _change_leaf(state, random)
    return _close(metadata, state, tensors)


def shuffle_state(data: bytes, random: Random) -> bytes:
    """Leave an entry out, or put it into the place of another."""
    metadata, state, tensors = _open(data)
    name, other = random.choice(sorted(state), 2, replace=False)
    if random.integers(2):
        del state[name]
    else:
        state[name] = _other_than(state[name], state[other])
    return _close(metadata, state, tensors)


def change_tensors(data: bytes, random: Random) -> bytes:
    """Leave a tensor out, or change its name, its shape or its dtype."""
    metadata, state, tensors = _open(data)
    name = str(random.choice(sorted(tensors)))
    tensor = tensors[name]
    ways: dict[str, Callable[[], Any]] = {
        "drop": lambda: tensors.pop(name),
        "rename": lambda: tensors.update({f"{name}x": tensors.pop(name)}),
        "to no member": lambda: tensors.update({"99." + name: tensors.pop(name)}),
        "to more": lambda: tensors.update({"more.0": tensors.pop(name)}),
        "add": lambda: tensors.update({"7.out.bias": torch.zeros(3)}),
        "double": lambda: tensors.update({name: torch.cat([tensor, tensor, tensor])}),
        "axis": lambda: tensors.update({name: tensor[None]}),
        "empty": lambda: tensors.update({name: torch.zeros(0, 2**40)}),
        "long": lambda: tensors.update({name: torch.zeros(2**40, 0)}),
        "dtype": lambda: tensors.update({name: tensor.to(torch.complex64)}),
        "half": lambda: tensors.update({name: tensor.to(torch.bfloat16)}),
        "bytes": lambda: tensors.update({name: tensor.to(torch.uint8)}),
    }
    ways[str(random.choice(sorted(ways)))]()
    return _close(metadata, state, tensors)


def attack(data: bytes, random: Random) -> bytes:
    """Ask for much, or for code, in places that are known to be read."""
    metadata, state, tensors = _open(data)
    huge = int(random.choice([10**5, 10**9, 2**40, 2**62]))
    settings = {"class": "MemberNetClassifier", "params": {}}
    if isinstance(state["prototype"], dict):
        settings = state["prototype"]
    targets = state["targets"]
    classes = targets.get("classes", {})
    attacks: list[Callable[[], Any]] = [
        lambda: state.update(row_shape=[huge], n_features_in=huge),
        lambda: state.update(row_shape=[state["n_features_in"], huge]),
        lambda: state.update(row_shape=[1] * 100_000),
        lambda: state.update(members=[{}] * 100_000),
        lambda: state.update(member_scores=[0.5] * 100_000),
        lambda: state.update(members=[{"changed": {"forward": 1}}] * 2),
        lambda: state.update(members=[{"extra": {"_extra_state": 1}}] * 2),
        lambda: classes.update(dtype="<U300000000"),
        lambda: classes.update(dtype="O"),
        lambda: classes.update(dtype=f"V{huge}"),
        lambda: classes.update(dtype=f"({huge},)<f8"),
        lambda: classes.update(dtype="i8,f8,O"),
        lambda: classes.update(
            dtype="<U100000", values=["a" * 100_000, *map(str, range(10_000, 20_000))]
        ),
        lambda: classes.update(dtype="<i8", values=list(range(100_000))),
        lambda: targets.update(n_labels=huge),
        lambda: targets.update(origin=[0.5] * 100_000, unit=[0.5] * 100_000),
        lambda: targets.update(unit=[0.0]),
        lambda: targets.update(unit=[float("nan")]),
        lambda: targets.update(is_flat=1),
        lambda: settings["params"].update(module__hidden_layer_sizes=huge),
        lambda: settings["params"].update(
            module__hidden_layer_sizes={"tuple": [huge, huge]}
        ),
        lambda: settings["params"].update(
            module__hidden_layer_sizes={"tuple": [1] * 100_000}
        ),
        lambda: settings["params"].update(module={"part": "Adam"}),
        lambda: settings["params"].update(module="os.system"),
        lambda: settings["params"].update(criterion={"part": "Adam"}),
        lambda: settings["params"].update(device="meta"),
        lambda: settings["params"].update(lr={"kind": ["os", {}]}),
        lambda: settings["params"].update({"module__encoding": {"tensor": "more.0"}}),
        lambda: settings["params"].update({"__class__": "os"}),
        lambda: settings.update({"class": "os"}),
        lambda: state["params"].update(device="meta"),
        lambda: state["params"].update({"__init__": 3}),
        lambda: state.update(code="import os"),
    ]
    attacks[random.integers(len(attacks))]()
    if isinstance(state["prototype"], str):
        state["prototype"] = settings
    return _close(metadata, state, tensors)


KINDS: dict[str, Callable[[bytes, Random], bytes]] = {
    "bit flips": flip_bit,
    "truncated": truncate,
    "lengthened": lengthen,
    "chunks swapped": swap_chunks,
    "chunks twice": duplicate_chunk,
    "header edited": edit_header,
    "hostile values": change_state,
    "hostile entries": shuffle_state,
    "hostile tensors": change_tensors,
    "hostile sizes and code": attack,
}


def mutate(kind: str, data: bytes, random: Random) -> bytes:
    """A changed copy of a file; never one that is as it was."""
    while (changed := KINDS[kind](data, random)) == data:
        pass
    return changed


def _open(data: bytes) -> tuple[dict[str, str], Any, dict[str, torch.Tensor]]:
    size = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8 : 8 + size])["__metadata__"]
    return metadata, json.loads(metadata["state"]), load(data)


def _close(metadata: dict[str, str], state: Any, tensors: dict[str, Any]) -> bytes:
    text = _dumps(state)
    tensors = {name: tensor.contiguous() for name, tensor in tensors.items()}
    told = {"state": text, "sha256": checksum(text, tensors)}
    return save(tensors, {**metadata, **told})


def _dumps(value: Any) -> str:
    text = json.dumps(value)
    return text.replace(f'"{_DEEP}"', "[" * 100_000 + "]" * 100_000)


def _change_leaf(tree: Any, random: Random) -> None:
    """Replace what lies in one place of a tree of dicts and lists."""
    places = list(_places(tree))
    owner, key = places[random.integers(len(places))]
    owner[key] = _other_than(owner[key], NASTY[random.integers(len(NASTY))])


def _places(tree: Any) -> Any:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        # The categories of a table are anybody's words; others make another ensemble.
        if isinstance(value, list) and "categories" in value:
            continue
        yield tree, key
        # As are the units of numbers.
        if key in ("origin", "unit"):
            continue
        if isinstance(value, dict | list):
            yield from _places(value)


def _other_than(value: Any, wanted: Any) -> Any:
    return copy.deepcopy(wanted) if json.dumps(wanted) != json.dumps(value) else [value]
