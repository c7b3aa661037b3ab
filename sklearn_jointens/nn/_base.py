"""What every vectorized module has in common."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._copying import copy_module, fill, like, named_tensors, stack
from sklearn_jointens.nn._parts import MemberPart

# Sets the random generators to where a group's stream stands, and keeps where it ends.
Replay = Callable[[int], AbstractContextManager[Any]]


class CannotVectorize(ValueError):
    """One way of vectorizing is refused; the message says why in a few words."""


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
    told : dict of (str, str) to object
        What a callback has set in all members, by submodule and name.
    members : Module
        Holds the tensors. Where they are stacked, a parameter is named as in one
        member and has a leading axis of length M.
    """

    method: str
    n_members: int = 0
    reason: str = ""
    max_error: float | None = None
    options: dict[str, bool] = {}
    told: dict[tuple[str, str], Any] = {}
    n_told: int = 0

    def __init__(self, members: nn.Module, n_members: int):
        super().__init__()
        self.members = members
        self.n_members = n_members
        self.reason = self.method

    @property
    def template(self) -> nn.Module:
        """A member as far as it is not tensors; its tensors have no meaning."""
        raise NotImplementedError

    @property
    def _trees(self) -> list[nn.Module]:
        """Modules whose names are those within a member."""
        return [self.members]

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name.startswith("_"):
                raise
            return getattr(MemberPart(self, ""), name)

    def __setattr__(self, name: str, value: Any) -> None:
        own = name.startswith("_") or name in vars(self) or hasattr(type(self), name)
        if own or "members" not in vars(self).get("_modules", {}):
            super().__setattr__(name, value)
        else:
            setattr(MemberPart(self, ""), name, value)

    def tell(self, path: str, name: str, value: Any) -> None:
        """Set an attribute of a submodule in all members.

        Parameters
        ----------
        path : str
            Of the submodule; "" is the member.
        name : str
        value : object

        Raises
        ------
        AttributeError
            When members that have it cannot be run as one.
        """
        self._tell(path, name, value)
        self.told = {**self.told, (path, name): value}
        self.n_told += 1

    def _tell(self, path: str, name: str, value: Any) -> None:
        setattr(self.template.get_submodule(path), name, value)

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

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter with the name that it has within a member.

        Parameters
        ----------
        prefix : str, default=""
            Put before each name.
        recurse : bool, default=True
            Whether those of submodules are meant too.
        remove_duplicate : bool, default=True
            Whether one that has several names comes once.

        Yields
        ------
        name : str
        parameter : Parameter
        """
        for tree in self._trees:
            yield from tree.named_parameters(prefix, recurse, remove_duplicate)

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield each buffer with the name that it has within a member.

        Parameters
        ----------
        prefix : str, default=""
            Put before each name.
        recurse : bool, default=True
            Whether those of submodules are meant too.
        remove_duplicate : bool, default=True
            Whether one that has several names comes once.

        Yields
        ------
        name : str
        buffer : Tensor
        """
        for tree in self._trees:
            yield from tree.named_buffers(prefix, recurse, remove_duplicate)

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
        self._hear(whole)
        theirs = named_tensors(whole.members)
        there = indices.to(next(iter(theirs.values())).device)
        with torch.no_grad():
            for name, tensor in named_tensors(self.members).items():
                torch.index_select(theirs[name], 0, there, out=tensor.data)

    def _hear(self, whole: "VectorizedModule") -> None:
        """Be told what another has been told."""
        if self.n_told != whole.n_told:
            for (path, name), value in whole.told.items():
                self.tell(path, name, value)
            self.n_told = whole.n_told

    def of_members(self, modules: Sequence[nn.Module]) -> "VectorizedModule":
        """Other members, run in the same way; nothing is looked into anew.

        Parameters
        ----------
        modules : sequence of Module
            Of the architecture of these members, which they are copied from.

        Returns
        -------
        vectorized : VectorizedModule
        """
        theirs = [named_tensors(module) for module in modules]
        made = self._with_members(
            {
                name: stack([one[name] for one in theirs])
                for name in named_tensors(self.members)
            },
            len(modules),
        )
        parts = dict(modules[0].named_modules())
        for path, part in made.members.named_modules():
            part.training = parts[path].training
        made.training = modules[0].training
        return made

    def emptied(self) -> "VectorizedModule":
        """The same without its members' numbers, for `of_members`.

        Returns
        -------
        vectorized : VectorizedModule
            Its tensors are on the "meta" device and take no memory.
        """
        tensors = {
            name: like(tensor, torch.empty_like(tensor, device="meta"))
            for name, tensor in named_tensors(self.members).items()
        }
        return self._with_members(tensors, self.n_members)

    def hand_back(self, index: int, module: nn.Module) -> nn.Module:
        """One member as a plain module, `module` if it can be.

        Parameters
        ----------
        index : int
            Which member.
        module : Module
            What this member was made of; it is given its tensors and attributes.

        Returns
        -------
        module : Module
        """
        fill(module, self.member_tensors(index))
        for (path, name), value in self.told.items():
            setattr(module.get_submodule(path), name, value)
        return module

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
            for name, tensor in named_tensors(self.members).items()
        }
        return self._with_members(tensors, len(indices))

    def _with_members(
        self, tensors: Mapping[str, Tensor], n_members: int
    ) -> "VectorizedModule":
        """A copy with other tensors in `members`."""
        made = copy_module(self, tensors)
        assert isinstance(made, VectorizedModule)
        made.n_members = n_members
        return made

    def _check_indices(self, indices: Sequence[int]) -> list[int]:
        checked = [int(index) for index in indices]
        n = self.n_members
        if not checked or not all(-n <= index < n for index in checked):
            raise ValueError(
                "The 'indices' parameter of select must be at least one member "
                f"index in the range [{-n}, {n}). Got {checked} instead."
            )
        return checked
