"""The way that always works: members run one after the other."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._base import VectorizedModule, copy_module, like, named_tensors

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
    copies_input : bool, default=False
        Whether each member is given a copy of what it may write to.
    """

    method = "loop"

    members: nn.ModuleList

    def __init__(
        self,
        members: nn.ModuleList,
        channels_last: bool = False,
        copies_input: bool = False,
    ):
        super().__init__(members, len(members))
        self.options = {"channels_last": channels_last, "copies_input": copies_input}
        self.training = members[0].training
        members.training = self.training
        if channels_last:
            _set_memory_format(members, torch.channels_last)

    def forward(self, x: Tensor) -> Any:
        if self.options["channels_last"] and x.dim() == 4:
            x = x.contiguous(memory_format=torch.channels_last)
        copies = self.options["copies_input"]
        return stack_outputs(
            [member(x.clone() if copies else x) for member in self.members]
        )

    def named_member_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        for member in self.members:
            yield from member.named_parameters()

    def take_over(self, whole: VectorizedModule, indices: Tensor) -> None:
        with torch.no_grad():
            for member, index in zip(self.members, indices.tolist(), strict=True):
                theirs = whole.member_tensors(index)
                for name, tensor in named_tensors(member).items():
                    tensor.copy_(theirs[name])

    def member(self, index: int) -> nn.Module:
        member = copy_of(self.members[index])
        if self.options["channels_last"]:
            _set_memory_format(member, torch.contiguous_format)
        return member

    def member_tensors(self, index: int) -> dict[str, Tensor]:
        tensors = named_tensors(self.members[index])
        return {name: tensor.detach() for name, tensor in tensors.items()}

    def _select(self, indices: list[int]) -> "LoopModule":
        members = nn.ModuleList(self.member(index) for index in indices)
        selected = LoopModule(members, **self.options)
        selected.training = self.training
        selected.reason, selected.max_error = self.reason, self.max_error
        return selected


def vectorize_with_loop(modules: Sequence[nn.Module], **options: bool) -> LoopModule:
    """Copy M modules to be run in turn.

    Parameters
    ----------
    modules : sequence of Module
        The members; copied.
    **options : bool
        Of `LoopModule`.

    Returns
    -------
    vectorized : LoopModule
    """
    return LoopModule(nn.ModuleList(map(copy_of, modules)), **options)


def writes_to_input(member: nn.Module, rows: Tensor) -> bool:
    """Whether a forward pass changes what it is given.

    Parameters
    ----------
    member : Module
        Left as it is.
    rows : Tensor of shape (B, ...)
        Left as they are; B of at least 2.
    """
    # Not by their values, which a change may leave as they were.
    given = rows.detach().clone()
    devices = [given.device] if given.is_cuda else []
    with torch.random.fork_rng(devices), torch.no_grad():
        copy_of(member).train()(given)
    return given._version > 0


def _set_memory_format(module: nn.Module, memory_format: torch.memory_format) -> None:
    for part in module.modules():
        if isinstance(part, IMAGE_CONVOLUTIONS):
            weight = part.weight
            weight.data = weight.data.contiguous(memory_format=memory_format)


def copy_of(module: nn.Module) -> nn.Module:
    """Copy a module with its weights, its ties among them, and without gradients."""
    copies: dict[int, Tensor] = {}
    tensors = {}
    for name, tensor in named_tensors(module).items():
        if id(tensor) not in copies:
            copies[id(tensor)] = like(tensor, tensor.detach().clone())
        tensors[name] = copies[id(tensor)]
    return copy_module(module, tensors)


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
