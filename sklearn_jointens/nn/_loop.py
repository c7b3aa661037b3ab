"""The way that always works: members run one after the other."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._copying import copy_of, fill, named_tensors
from sklearn_jointens.nn._module import VectorizedModule

IMAGE_CONVOLUTIONS = (nn.Conv2d, nn.ConvTranspose2d)


class LoopModule(VectorizedModule):
    """Members kept as they are, run in turn, their outputs stacked.

    Parameters
    ----------
    members : ModuleList
        The members. A parameter's name begins with its member's index.
    channels_last : bool, default=False
        Whether images, and the weights of convolutions of them, lie in memory with
        the channels last.
    """

    method = "loop"
    is_stacked = False

    members: nn.ModuleList

    def __init__(self, members: nn.ModuleList, channels_last: bool = False):
        members.training = all(member.training for member in members)
        super().__init__(members, len(members))
        self.options = {"channels_last": channels_last}
        if channels_last:
            _set_memory_format(members, torch.channels_last)

    @classmethod
    def of(cls, modules: Sequence[nn.Module], **options: bool) -> "LoopModule":
        return cls(nn.ModuleList(map(copy_of, modules)), **options)

    def forward(self, x: Tensor) -> Any:
        if self.options["channels_last"] and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        # A member may write to what it is given.
        return stack_outputs([member(x.clone()) for member in self.members])

    @property
    def _trees(self) -> list[nn.Module]:
        return list(self.members)

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> None:
        for member in self.members:
            nn.utils.clip_grad_norm_(member.parameters(), max_norm, norm_type)

    def take_over(self, whole: VectorizedModule, indices: Tensor) -> None:
        self._hear(whole)
        for member, index in zip(self.members, indices.tolist(), strict=True):
            fill(member, whole.member_tensors(index))

    def member(self, index: int) -> nn.Module:
        member = copy_of(self.members[index])
        if self.options["channels_last"]:
            _set_memory_format(member, torch.contiguous_format)
        return member

    def member_tensors(self, index: int) -> dict[str, Tensor]:
        tensors = named_tensors(self.members[index])
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def hand_back(self, index: int, module: nn.Module) -> nn.Module:
        # With all that its forward passes have left in it.
        return self.member(index)

    def can_take(self, modules: Sequence[nn.Module]) -> bool:
        return True

    def of_members(self, modules: Sequence[nn.Module]) -> "LoopModule":
        made = LoopModule.of(modules, **self.options)
        made.reason, made.max_error = self.reason, self.max_error
        made.told, made.n_told = self.told, self.n_told
        return made

    def emptied(self) -> "LoopModule":
        return self.of_members([])

    def _select(self, indices: list[int]) -> "LoopModule":
        selected = self.of_members([self.member(index) for index in indices])
        selected.training = self.training
        return selected


def _set_memory_format(module: nn.Module, memory_format: torch.memory_format) -> None:
    for part in module.modules():
        if isinstance(part, IMAGE_CONVOLUTIONS):
            weight = part.weight
            weight.data = weight.data.contiguous(memory_format=memory_format)


def stack_outputs(outputs: Sequence[Any]) -> Any:
    """Stack what M members returned: tensors, or tuples or dicts of them.

    Parameters
    ----------
    outputs : sequence of Tensor of shape (B, ...), or of tuples or dicts of such
        One output a member.

    Returns
    -------
    stacked : Tensor of shape (M, B, ...), or a tuple or dict of such
    """
    first = outputs[0]
    if isinstance(first, (tuple, list)):
        return tuple(stack_outputs(parts) for parts in zip(*outputs, strict=True))
    if isinstance(first, dict):
        return {key: stack_outputs([one[key] for one in outputs]) for key in first}
    return torch.stack(list(outputs))
