"""Vectorization by torch.func.vmap: one member's own forward over stacked tensors."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._copying import copy_module, named_tensors, stack_tensors
from sklearn_jointens.nn._module import VectorizedModule


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

    @classmethod
    def of(cls, modules: Sequence[nn.Module]) -> "VmapModule":
        return cls(copy_module(modules[0], stack_tensors(modules)), len(modules))

    def forward(self, x: Tensor) -> Any:
        # "different": each member draws its own dropout masks.
        run = torch.func.vmap(
            self._run_member, in_dims=(0, None), randomness="different"
        )
        # A member may write to what it is given.
        return run(named_tensors(self.members), x.clone())

    def _run_member(self, tensors: dict[str, Tensor], x: Tensor) -> Any:
        return torch.func.functional_call(self.members, tensors, (x,))
