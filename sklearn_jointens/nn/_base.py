"""What every vectorized module has in common, and the copying of module trees."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

# Sets the random generators to where a group's stream stands, and keeps where it ends.
Replay = Callable[[int], AbstractContextManager[Any]]


class CannotVectorize(ValueError):
    """One way of vectorizing is refused; the message says why in a few words."""


def named_tensors(module: nn.Module) -> dict[str, Tensor]:
    """All parameters and buffers of a module by name, tied ones under each name."""
    return {
        **dict(module.named_parameters(remove_duplicate=False)),
        **dict(module.named_buffers(remove_duplicate=False)),
    }


def copy_module(module: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Deep copy of a module with every parameter and buffer exchanged.

    Parameters
    ----------
    module : Module
        The module to copy; it is left as it is.
    tensors : mapping of str to Tensor
        For each name in ``named_tensors(module)`` the tensor the copy holds instead,
        of any shape.

    Returns
    -------
    copied : Module
    """
    # The memo tells deepcopy what each tensor became, so the old values are never
    # copied and every reference to a tensor, wherever it is kept, follows.
    memo = {id(old): tensors[name] for name, old in named_tensors(module).items()}
    # What a hook computes from parameters before each pass, as for pruning, is not
    # copied by deepcopy, and computed anew anyhow.
    memo |= {
        id(value): value.detach().clone()
        for part in module.modules()
        for value in vars(part).values()
        if isinstance(value, Tensor) and not value.is_leaf
    }
    return copy.deepcopy(module, memo)


def like(original: Tensor, values: Tensor) -> Tensor:
    """Make `values` a parameter if and as `original` is one, a buffer otherwise."""
    values = values.detach()
    if isinstance(original, nn.Parameter):
        return nn.Parameter(values, requires_grad=original.requires_grad)
    return values


def stack(tensors: Sequence[Tensor]) -> Tensor:
    """Copy M tensors of one shape into one of shape (M, ...)."""
    return like(tensors[0], torch.stack([tensor.detach() for tensor in tensors]))


class VectorizedModule(nn.Module):
    """M networks of one architecture, run as one module.

    Made by :func:`vectorize_members`, never directly.

    Parameters
    ----------
    members : Module
        Holds the parameters and buffers of all members.
    n_members : int
        Number of members, M.

    Attributes
    ----------
    method : {"structural", "vmap", "loop"}
        How the members are run.
    reason : str
        One sentence: why in this way, and which others were refused.
    max_error : float or None
        Largest deviation from the plain members that the check found, relative to
        the size of what was compared; None if nothing was checked.
    options : dict of str to bool
        What else says how the members are run; see `LoopModule`.
    n_members : int
        Number of members, M.
    members : Module
        Holds the tensors. Where they are stacked, a parameter is named as in one
        member and has a leading axis of length M.
    """

    method: str

    def __init__(self, members: nn.Module, n_members: int):
        super().__init__()
        self.members = members
        self.n_members = n_members
        self.reason = self.method
        self.max_error: float | None = None
        self.options: dict[str, bool] = {}

    def forward(self, x: Tensor) -> Any:
        """Outputs of all members.

        Parameters
        ----------
        x : Tensor of shape (B, ...)
            What each member takes; all members share it.

        Returns
        -------
        outputs : Tensor of shape (M, B, ...)
            Possibly a transposed view of memory in which the batch is innermost.
            A tuple or dict of such tensors if a member returns one.
        """
        raise NotImplementedError

    def forward_blocks(
        self,
        inputs: Tensor | Sequence[Tensor],
        n_groups: int | None = None,
        replay: Replay | None = None,
    ) -> Any:
        """Outputs of all members, of which equally large blocks have an input each.

        Parameters
        ----------
        inputs : Tensor of shape (n_blocks, B, ...) or sequence of n_blocks Tensors
            What each block of M / n_blocks members takes, the first members first.
            Tensors of a sequence may differ in their number of rows, unless members
            normalize over the batch.
        n_groups : int or None, default=None
            Into how many equal groups of members next to each other `replay` divides
            them. A multiple of n_blocks.
        replay : callable or None, default=None
            Makes a context manager of the number of a group. In training mode each
            layer that draws random numbers is applied to one group after the other,
            within its context, as if that group ran alone. ``None`` draws for all
            members at once.

        Returns
        -------
        outputs : Tensor of shape (M, B, ...)
            As from `forward`, with B the largest number of rows. A block's rows
            beyond its own are copies without a meaning.

        Raises
        ------
        NotImplementedError
            Where `method` is not "structural".
        ValueError
            If the blocks or groups do not divide the members, or the rows differ in
            number where they must not.
        """
        raise NotImplementedError

    def train(self, mode: bool = True) -> "VectorizedModule":
        """Set the mode of all layers, quickly where they already have it.

        Parameters
        ----------
        mode : bool, default=True
            Training or evaluation.

        Returns
        -------
        self : VectorizedModule
        """
        # skorch asks at every batch, and setting a module's attributes is slow.
        if self.training != mode or any(
            part.training != mode or type(part).train is not nn.Module.train
            for part in self.members.modules()
        ):
            super().train(mode)
        return self

    def named_member_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter with the name that it has within a member."""
        return self.members.named_parameters()

    def select(self, indices: Sequence[int]) -> "VectorizedModule":
        """Only some of the members, as a new module with copied weights.

        Parameters
        ----------
        indices : sequence of int
            Members to keep, in this order; one may be taken several times.

        Returns
        -------
        selected : VectorizedModule
            Of the same method, with ``n_members == len(indices)``.

        Raises
        ------
        ValueError
            If `indices` is empty or names a member that does not exist.
        """
        return self._select(self._check_indices(indices))

    def take_over(self, whole: "VectorizedModule", indices: Tensor) -> None:
        """Copy the weights that some members of another module have now.

        Much faster than `select` where it is done again and again.

        Parameters
        ----------
        whole : VectorizedModule
            Of the same method.
        indices : Tensor of shape (n_members,), dtype int64
            Its members, one for each member of this module.
        """
        theirs = named_tensors(whole.members)
        there = indices.to(next(iter(theirs.values())).device)
        with torch.no_grad():
            for name, tensor in named_tensors(self.members).items():
                torch.index_select(theirs[name], 0, there, out=tensor.data)

    def member(self, index: int) -> nn.Module:
        """One member as a plain module of its own class, with copied weights.

        Parameters
        ----------
        index : int
            Which member.

        Returns
        -------
        module : Module
        """
        raise NotImplementedError

    def member_tensors(self, index: int) -> dict[str, Tensor]:
        """One member's parameters and buffers by its own names, as views.

        Parameters
        ----------
        index : int
            Which member.

        Returns
        -------
        tensors : dict of str to Tensor
        """
        tensors = named_tensors(self.members)
        return {name: tensor.detach()[index] for name, tensor in tensors.items()}

    def extra_repr(self) -> str:
        return f"method={self.method!r}, n_members={self.n_members}"

    def _select(self, indices: list[int]) -> "VectorizedModule":
        # Indexing with a tensor copies, also where all members are taken.
        tensors = {
            name: like(tensor, tensor.detach()[torch.tensor(indices)])
            for name, tensor in named_tensors(self).items()
        }
        selected = copy_module(self, tensors)
        assert isinstance(selected, VectorizedModule)
        selected.n_members = len(indices)
        return selected

    def _check_indices(self, indices: Sequence[int]) -> list[int]:
        checked = [int(index) for index in indices]
        n = self.n_members
        if not checked or not all(-n <= index < n for index in checked):
            raise ValueError(
                "The 'indices' parameter of select must be at least one member "
                f"index in the range [{-n}, {n}). Got {checked} instead."
            )
        return checked
