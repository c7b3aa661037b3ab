"""What every vectorized module has in common."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._architecture import why_not_stackable
from sklearn_jointens.nn._clipping import clip_stacked
from sklearn_jointens.nn._copying import (
    copy_modes,
    copy_module,
    fill,
    like,
    named_tensors,
    stack_tensors,
    without_numbers,
)
from sklearn_jointens.nn._parts import MemberPart
from sklearn_jointens.nn._way import Vectorization


class VectorizedModule(nn.Module):
    """M networks of one architecture, run as one module.

    Made by :func:`vectorize_members`, never directly.

    Parameters
    ----------
    members : Module
        Holds the parameters and buffers of all members; where they are stacked, under
        the names that they have in one.
    n_members : int
        Number of members, M.

    Attributes
    ----------
    method : {"structural", "vmap", "loop"}
        How the members are run.
    reason : str
        One sentence: why in this way, and which others were refused.
    max_error : float or None
        Largest deviation from the plain members that the check found, relative to the
        size of what was compared; None if nothing was checked.
    options : dict of str to bool
        As in `Vectorization`.
    is_stacked : bool
        Whether each tensor holds those of all members, with a leading axis of length
        M. Otherwise each member has its own, and some may get no gradient.
    takes_blocks : bool
        Whether it has `forward_blocks`, for blocks of members on inputs of their own.
    told : dict of (str, str) to object
        What a callback has set in all members, by submodule and name.
    """

    method: str
    is_stacked: bool = True
    takes_blocks: bool = False
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
        self.training = members.training

    @classmethod
    def of(cls, modules: Sequence[nn.Module]) -> "VectorizedModule":
        """Run modules of one architecture in this way.

        Parameters
        ----------
        modules : sequence of Module
            The members, known to be alike; copied.

        Returns
        -------
        vectorized : VectorizedModule

        Raises
        ------
        CannotVectorize
            If they cannot be run in this way.
        """
        raise NotImplementedError

    @property
    def vectorization(self) -> Vectorization:
        """Which way this is, and why."""
        return Vectorization(self.method, self.reason, self.max_error, self.options)

    @property
    def row_width(self) -> int:
        """How many numbers the weights make of one position of a row."""
        # A weight's outputs come first; behind the members where these are stacked.
        axes = 2 if self.is_stacked else 1
        weights = (p for p in self.parameters() if p.ndim > 1)
        return sum(weight.shape[:axes].numel() for weight in weights)

    @property
    def mixes_rows(self) -> bool:
        """Whether in training a row may have a part in what becomes of others."""
        return True  # as far as is known

    @property
    def template(self) -> nn.Module:
        """A member as far as it is not tensors; its tensors have no meaning."""
        return self._trees[0]

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
        for tree in self._trees:
            setattr(tree.get_submodule(path), name, value)

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
        self, *args: Any, **kwargs: Any
    ) -> Iterator[tuple[str, nn.Parameter]]:
        """Yield each parameter with the name that it has within a member.

        Parameters
        ----------
        *args, **kwargs : object
            As of ``torch.nn.Module.named_parameters``.

        Yields
        ------
        name : str
        parameter : Parameter
        """
        for tree in self._trees:
            yield from tree.named_parameters(*args, **kwargs)

    def named_buffers(self, *args: Any, **kwargs: Any) -> Iterator[tuple[str, Tensor]]:
        """Yield each buffer with the name that it has within a member.

        Parameters
        ----------
        *args, **kwargs : object
            As of ``torch.nn.Module.named_buffers``.

        Yields
        ------
        name : str
        buffer : Tensor
        """
        for tree in self._trees:
            yield from tree.named_buffers(*args, **kwargs)

    def clip_grad_norm_(self, max_norm: float, norm_type: float = 2.0) -> None:
        """Clip the norm of each member's gradient, as torch's function of this name.

        Parameters
        ----------
        max_norm : float
        norm_type : float, default=2.0
            Order of the norm; may be infinity.
        """
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        clip_stacked(gradients, max_norm, float(norm_type))

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
        chosen = [int(index) for index in indices]
        n = self.n_members
        if not chosen or not all(-n <= index < n for index in chosen):
            raise ValueError(
                "The 'indices' parameter of select must be at least one member "
                f"index in the range [{-n}, {n}). Got {chosen} instead."
            )
        return self._select(chosen)

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

    def can_take(self, modules: Sequence[nn.Module]) -> bool:
        """Whether `of_members` can run these modules, as far as they tell.

        Parameters
        ----------
        modules : sequence of Module
            Of the architecture of these members.

        Returns
        -------
        bool
        """
        return why_not_stackable(modules) is None

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
        made = copy_module(self, stack_tensors(modules))
        made.n_members = len(modules)
        copy_modes(modules[0], made.members)
        made.training = modules[0].training
        return made

    def emptied(self) -> "VectorizedModule":
        """The same without its members' numbers, for `of_members`.

        Returns
        -------
        vectorized : VectorizedModule
            Its tensors are on the "meta" device and take no memory.
        """
        return without_numbers(self)

    def hand_back(self, index: int, module: nn.Module) -> nn.Module:
        """One member as a plain module, `module` if it can be.

        Parameters
        ----------
        index : int
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

        Returns
        -------
        module : Module
        """
        tensors = {
            name: like(tensor, tensor.detach()[index].clone())
            for name, tensor in named_tensors(self.members).items()
        }
        member = copy_module(self.template, tensors)
        copy_modes(self.members, member)
        return member

    def member_tensors(self, index: int) -> dict[str, Tensor]:
        """One member's parameters and buffers by its own names, as views.

        Parameters
        ----------
        index : int

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
        selected = copy_module(self, tensors)
        selected.n_members = len(indices)
        return selected
