"""The parts of members as a callback sees them: what is set is set in all of them.

A callback of the user's knows one network: ``net.module_.gate = 0.0`` is to be what it
would be there.
"""

import inspect
from collections import deque
from collections.abc import Iterator
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

if TYPE_CHECKING:
    from sklearn_jointens.nn._module import VectorizedModule


class MemberPart:
    """A submodule, in all members of a vectorized module.

    Parameters
    ----------
    vectorized : VectorizedModule
    path : str
        Of the submodule within a member; "" is the member.
    """

    def __init__(self, vectorized: "VectorizedModule", path: str):
        vars(self).update(_vectorized=vectorized, _path=path)

    def __getattr__(self, name: str) -> Any:
        vectorized, path = vars(self)["_vectorized"], vars(self)["_path"]
        part = vectorized.template.get_submodule(path)
        where = f"{path}.{name}".removeprefix(".")
        if name in part._modules:
            return MemberPart(vectorized, where)
        if name in part._parameters or name in part._buffers:
            raise AttributeError(
                f"{where!r} is a tensor of each of the {vectorized.n_members} members: "
                "look for it among net.module_.named_parameters()."
            )
        value = getattr(part, name)
        if inspect.ismethod(value):
            raise AttributeError(
                f"{where!r} is a method of {type(part).__name__}, which cannot be "
                f"called for {vectorized.n_members} members at once."
            )
        return _read_only(value)

    def __setattr__(self, name: str, value: Any) -> None:
        vectorized, path = vars(self)["_vectorized"], vars(self)["_path"]
        if isinstance(value, Tensor | nn.Module):
            raise AttributeError(
                f"{name!r} can be set to a number or another plain value, of all "
                f"members. Got a {type(value).__name__} instead."
            )
        vectorized.tell(path, name, value)

    def __getitem__(self, index: int) -> Any:
        return list(self)[index]

    def __iter__(self) -> Iterator[Any]:
        vectorized, path = vars(self)["_vectorized"], vars(self)["_path"]
        for name, _ in vectorized.template.get_submodule(path).named_children():
            yield getattr(self, name)


def _read_only(value: Any) -> Any:
    """A container as it is now: what is put into it would reach no member."""
    if isinstance(value, dict):
        return MappingProxyType(dict(value))
    if isinstance(value, list | deque):
        return tuple(value)
    return frozenset(value) if isinstance(value, set) else value
