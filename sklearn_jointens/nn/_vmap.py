"""Vectorization by torch.func.vmap: one member's own forward over stacked tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._base import VectorizedModule
from sklearn_jointens.nn._copying import copy_module, like, named_tensors, stack


class VmapModule(VectorizedModule):
    """Members run by ``torch.func.vmap``.

    Parameters
    ----------
    members : Module
        One member whose every tensor is stacked, with a leading axis of length M.
    n_members : int
        Number of members, M.
    """

    method = "vmap"

    def __init__(self, members: nn.Module, n_members: int):
        super().__init__(members, n_members)
        self.training = members.training

    def forward(self, x: Tensor) -> Any:
        # "different": each member draws its own dropout masks.
        run = torch.func.vmap(
            self._run_member, in_dims=(0, None), randomness="different"
        )
        # A member may write to what it is given.
        return run(named_tensors(self.members), x.clone())

    @property
    def template(self) -> nn.Module:
        return self.members

    def member(self, index: int) -> nn.Module:
        tensors = {
            name: like(tensor, tensor.detach()[index].clone())
            for name, tensor in named_tensors(self.members).items()
        }
        return copy_module(self.members, tensors)

    def _run_member(self, tensors: dict[str, Tensor], x: Tensor) -> Any:
        return torch.func.functional_call(self.members, tensors, (x,))


def vectorize_with_vmap(modules: Sequence[nn.Module]) -> VmapModule:
    """Stack the tensors of M modules of one architecture under the first's forward.

    Parameters
    ----------
    modules : sequence of Module
        The members, known to be alike; copied.

    Returns
    -------
    vectorized : VmapModule
    """
    tensors = [named_tensors(module) for module in modules]
    stacked = {name: stack([one[name] for one in tensors]) for name in tensors[0]}
    return VmapModule(copy_module(modules[0], stacked), len(modules))
