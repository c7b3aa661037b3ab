"""``vectorize_members`` and its inverse ``split_members``."""

import warnings
from collections.abc import Sequence

from torch import Tensor, nn

from sklearn_jointens.nn._architecture import check_members, why_not_stackable
from sklearn_jointens.nn._check import check_vectorized
from sklearn_jointens.nn._copying import fill, named_tensors
from sklearn_jointens.nn._cost import (
    prefers_channels_last,
    why_structural_is_slower,
    why_vmap_is_slower,
)
from sklearn_jointens.nn._loop import LoopModule
from sklearn_jointens.nn._module import VectorizedModule
from sklearn_jointens.nn._vmap import VmapModule
from sklearn_jointens.nn._way import CannotVectorize, Vectorization
from sklearn_jointens.nn.structural._convert import StructuralModule

_METHODS = ("auto", "structural", "vmap", "loop")
_STACKING: dict[str, type[VectorizedModule]] = {
    "structural": StructuralModule,
    "vmap": VmapModule,
}


def vectorize_members(
    modules: Sequence[nn.Module], method: str = "auto", example: Tensor | None = None
) -> VectorizedModule:
    """Make one module that runs M modules of one architecture.

    Parameters
    ----------
    modules : sequence of Module
        The M members: of the same classes and shapes, with weights of their own. They
        are copied and left as they are.
    method : {"auto", "structural", "vmap", "loop"}, default="auto"
        How the members are run.

        - ``"structural"``: each layer becomes a vectorized layer, all members that
          share an input one wide matrix product or convolution.
        - ``"vmap"``: ``torch.func.vmap`` over the members' own forward.
        - ``"loop"``: one member after the other; works for every module.
        - ``"auto"``: the first of these that can run this module and, given an
          `example`, agrees with the plain members. On a CPU the loop comes first for
          convolutions, and before vmap for other layers, of members that compute much
          for a row (then with images' channels last in memory, if members can take
          it). Without an `example`, neither vmap nor, on a CPU, convolutions together
          are tried. Nothing is timed, so the choice is always the same.
    example : Tensor of shape (B, ...), optional
        A few rows of what the members take. Up to 7 of them are used to compare
        outputs, gradients and buffers with those of up to 3 plain members.

    Returns
    -------
    vectorized : VectorizedModule
        Takes x of shape (B, ...) and returns (M, B, ...). Its ``method`` and
        ``reason`` say which way was taken and why, its ``max_error`` what the
        comparison found.

    Raises
    ------
    ValueError
        If there are no modules, if they are not of one architecture, if `method` is
        unknown or cannot run them, or if `example` has no rows.

    See Also
    --------
    split_members : Hand the weights back to plain modules.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import MLP, vectorize_members
    >>> x = torch.zeros(5, 20)
    >>> vectorized = vectorize_members([MLP(20, 3) for _ in range(4)], example=x)
    >>> vectorized(x).shape
    torch.Size([4, 5, 3])
    >>> vectorized.reason
    'structural: every layer has a vectorized form'
    """
    modules = list(modules)
    if method not in _METHODS:
        raise ValueError(
            f"The 'method' parameter of vectorize_members must be one of {_METHODS}. "
            f"Got {method!r} instead."
        )
    if example is not None and not (isinstance(example, Tensor) and len(example)):
        raise ValueError(
            "The 'example' parameter of vectorize_members must be a tensor of at least "
            f"one row or None. Got {example!r} instead."
        )
    check_members(modules)
    if method == "auto":
        return _vectorize_auto(modules, example)
    if method == "loop":
        return _loop(modules, "it was asked for", example, may_reorder=False)
    try:
        refused = why_not_stackable(modules)
        if refused is not None:
            raise CannotVectorize(refused)
        vectorized = _stack(modules, method, example, slow_is_error=False)
    except CannotVectorize as error:
        raise ValueError(
            "The 'method' parameter of vectorize_members must be one that can run "
            f"these modules. Got {method!r} instead: {error}."
        ) from error
    vectorized.reason = f"{method}: it was asked for{_unchecked(example)}"
    return vectorized


def revectorize(modules: Sequence[nn.Module], way: Vectorization) -> VectorizedModule:
    """Run modules in a way that has been found right for them before.

    Parameters
    ----------
    modules : sequence of Module
        The members; copied.
    way : Vectorization
        Of a vectorized module of these members, or of others like them.

    Returns
    -------
    vectorized : VectorizedModule

    Raises
    ------
    ValueError
        If they cannot be run in this way.
    """
    if way.method == "loop":
        vectorized: VectorizedModule = LoopModule.of(modules, **way.options)
    else:
        vectorized = vectorize_members(modules, way.method)
    vectorized.reason, vectorized.max_error = way.reason, way.max_error
    return vectorized


def split_members(
    vectorized: VectorizedModule, into: Sequence[nn.Module] | None = None
) -> list[nn.Module]:
    """Hand each member's weights and buffers back to a plain module.

    Parameters
    ----------
    vectorized : VectorizedModule
        Made by :func:`vectorize_members`; it is left as it is.
    into : sequence of Module, optional
        M modules of the members' architecture, to copy the weights into. By default
        new modules of the members' class are made.

    Returns
    -------
    members : list of Module
        Member j gives ``vectorized(x)[j]``.

    Raises
    ------
    ValueError
        If `into` is not M modules of the members' architecture.

    Examples
    --------
    >>> from sklearn_jointens.nn import MLP, split_members, vectorize_members
    >>> vectorized = vectorize_members([MLP(20, 3) for _ in range(4)])
    >>> [type(member).__name__ for member in split_members(vectorized)]
    ['MLP', 'MLP', 'MLP', 'MLP']
    """
    n_members = vectorized.n_members
    if into is None:
        return [vectorized.member(index) for index in range(n_members)]
    members = list(into)
    if len(members) != n_members:
        raise ValueError(
            f"The 'into' parameter of split_members must be {n_members} modules, one "
            f"a member. Got {len(members)} instead."
        )
    sources = [vectorized.member_tensors(index) for index in range(n_members)]
    for member, source in zip(members, sources, strict=True):
        expected = {name: tuple(tensor.shape) for name, tensor in source.items()}
        found = {name: tuple(t.shape) for name, t in named_tensors(member).items()}
        if found != expected:
            raise ValueError(
                "The 'into' parameter of split_members must be modules with the "
                f"members' tensors {expected}. Got {found} instead."
            )
    for member, source in zip(members, sources, strict=True):
        fill(member, source)
    return members


def _vectorize_auto(
    modules: list[nn.Module], example: Tensor | None
) -> VectorizedModule:
    """Try the ways in a fixed order; what each refused becomes part of the reason."""
    refused = why_not_stackable(modules)
    if refused is not None:
        return _loop(modules, refused, example)
    slower = why_structural_is_slower(modules[0], example)
    if slower is not None:
        return _loop(modules, slower, example)
    try:
        vectorized = _stack(modules, "structural", example)
        every = "every layer has a vectorized form"
        vectorized.reason = f"structural: {every}{_unchecked(example)}"
        return vectorized
    except CannotVectorize as error:
        refused = f"structural refused: {error}"
    if example is None:
        return _loop(modules, f"{refused}; vmap not tried without an example")
    slower = why_vmap_is_slower(modules[0], example)
    if slower is not None:
        return _loop(modules, f"{refused}; {slower}", example)
    try:
        vectorized = _stack(modules, "vmap", example)
        vectorized.reason = f"vmap: {refused}"
        return vectorized
    except CannotVectorize as error:
        return _loop(modules, f"{refused}; vmap refused: {error}", example)


def _stack(
    modules: list[nn.Module],
    method: str,
    example: Tensor | None,
    slow_is_error: bool = True,
) -> VectorizedModule:
    """Vectorize in one way and check it; CannotVectorize if either fails."""
    vectorized = _STACKING[method].of(modules)
    if example is None:
        return vectorized
    if method != "vmap":
        vectorized.max_error = check_vectorized(vectorized, modules, example)
        return vectorized
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vectorized.max_error = check_vectorized(vectorized, modules, example)
    slow = [w for w in caught if "performance drop" in str(w.message)]
    if slow and slow_is_error:
        raise CannotVectorize(f"it is slow ({str(slow[0].message).split('.')[0]})")
    return vectorized


def _loop(
    modules: list[nn.Module],
    why: str,
    example: Tensor | None = None,
    may_reorder: bool = True,
) -> VectorizedModule:
    """Run one after the other, images in the faster memory if members can take it."""
    if (
        example is not None
        and may_reorder
        and prefers_channels_last(modules[0], example)
    ):
        vectorized = LoopModule.of(modules, channels_last=True)
        try:
            # Memory is all that differs: one member says what all would.
            vectorized.max_error = check_vectorized(
                vectorized.select([0]), modules[:1], example[:2]
            )
        except CannotVectorize as error:
            why = f"{why}; channels_last refused: {error}"
        else:
            vectorized.reason = f"loop in channels_last: {why}"
            return vectorized
    vectorized = LoopModule.of(modules)
    vectorized.reason = f"loop: {why}"
    return vectorized


def _unchecked(example: Tensor | None) -> str:
    return " (not checked: no example given)" if example is None else ""
