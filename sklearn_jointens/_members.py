"""From a prototype to members: what is checked, how they are built and vectorized."""

import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from skorch.callbacks import Freezer, ParamMapper, Unfreezer

from sklearn_jointens.nn import VectorizedModule, vectorize_members
from sklearn_jointens.training import (
    MemberNet,
    Targets,
    copied_net,
    derived_net,
)

# Optimizers that treat every entry of a tensor by itself: on stacked weights they do
# what they do for each member alone.
ELEMENTWISE_OPTIMIZERS = (
    torch.optim.ASGD,
    torch.optim.Adadelta,
    torch.optim.Adagrad,
    torch.optim.Adam,
    torch.optim.AdamW,
    torch.optim.Adamax,
    torch.optim.NAdam,
    torch.optim.RAdam,
    torch.optim.RMSprop,
    torch.optim.Rprop,
    torch.optim.SGD,
)


class IdenticalMembersWarning(UserWarning):
    """All members start from the same weights, and would stay the same."""


class ProbabilitiesAsLogitsWarning(UserWarning):
    """Members put out probabilities where their criterion takes logits."""


def build_members(
    prototype: Any,
    X: Any,
    targets: Targets,
    seeds: Sequence[int],
    reseed: Callable[[int], None],
) -> list[Any]:
    """Initialized member nets, each from its own seed.

    Parameters
    ----------
    prototype : skorch classifier
    X : array of shape (n_samples, ...)
        For the sizes of the module.
    targets : Targets
    seeds : sequence of int
        One for each member.
    reseed : callable
        Seeds all generators.

    Returns
    -------
    list of MemberNet
    """
    members: list[Any] = []
    for seed in seeds:
        reseed(int(seed))
        members.append(
            members[0].sibling() if members else _first_member(prototype, X, targets)
        )
    return members


def going_on(members: Sequence[Any], prototype: Any) -> list[Any]:
    """Copies of fitted members, with the settings that new ones are given.

    Parameters
    ----------
    members : sequence of MemberNet
    prototype : skorch classifier
        Of the same module and criterion as theirs.

    Returns
    -------
    list of MemberNet
        On the prototype's device.
    """
    told = _unbuilt_member(prototype).initialize_callbacks()
    copies = []
    for member in members:
        member = copied_net(member).move_to(told.device)
        for name in member.get_params(deep=False):
            del vars(member)[name]
        vars(member).update(told.get_params(deep=False), callbacks_=told.callbacks_)
        copies.append(member)
    return copies


def _unbuilt_member(prototype: Any) -> Any:
    member = derived_net(prototype, MemberNet)
    # Members are trained as one, and that is what is compiled.
    return member.set_params(verbose=0, compile=False)


def _first_member(prototype: Any, X: Any, targets: Targets) -> Any:
    member = _unbuilt_member(prototype)
    member.observe(X, targets)
    try:
        return member.initialize()
    except TypeError as error:
        if "required positional argument" not in str(error):
            raise
        if X.ndim == 2 and re.search("'(in|n)_channels'", str(error)):
            raise ValueError(
                "The 'X' parameter must be images of shape (n_samples, channels, "
                f"height, width), or the like, for members that take channels. Got "
                f"shape {X.shape} instead."
            ) from error
        raise TypeError(
            f"{error}. Give it to the member as module__..., or name it "
            "'n_features_in' or 'n_outputs' (and the like) to have it taken from the "
            "data."
        ) from error


def warn_if_identical(members: Sequence[Any]) -> None:
    """Warn when members that would see the same rows start from the same weights."""
    if len(members) < 2:
        return
    first, second = (list(member.module_.parameters()) for member in members[:2])
    if first and all(map(torch.equal, first, second)):
        warnings.warn(
            "All members start from the same weights, so that they would stay one "
            "network. Give the member's 'module' as a class (with its arguments as "
            "module__...), not as an instance, or use bootstrap=True.",
            IdenticalMembersWarning,
            stacklevel=4,
        )


def plain_modules(members: Sequence[Any]) -> list[torch.nn.Module]:
    """The members' modules, without the wrapper of torch.compile."""
    modules = [member.module_ for member in members]
    return [getattr(module, "_orig_mod", module) for module in modules]


def vectorize(
    members: Sequence[Any],
    example: torch.Tensor,
    like: VectorizedModule | None = None,
) -> VectorizedModule:
    """One module of all members' modules, by the cheapest way that is exact.

    Parameters
    ----------
    members : sequence of MemberNet
    example : Tensor of shape (n_samples, ...)
        Rows to check the way on.
    like : VectorizedModule or None, default=None
        Of some of the members, whose way is known to be right.

    Returns
    -------
    VectorizedModule
    """
    modules = plain_modules(members)
    mixing = _what_mixes_entries(members[0])
    if (
        like is not None
        and like.can_take(modules)
        and (mixing is None or not like.is_stacked)
    ):
        return like.of_members(modules)
    if mixing is None:
        return vectorize_members(modules, example=example)
    vectorized = vectorize_members(modules, method="loop", example=example)
    vectorized.reason = (
        f"loop: {mixing} may mix the entries of a tensor, so that members keep tensors "
        "of their own"
    )
    return vectorized


def _what_mixes_entries(member: Any) -> str | None:
    """A part of the net that would treat stacked weights unlike a member's own."""
    if member.optimizer not in ELEMENTWISE_OPTIMIZERS:
        return getattr(member.optimizer, "__name__", repr(member.optimizer))
    for _, callback in member.callbacks_:
        # An Initializer, say, takes the number of inputs from the shape of a weight.
        maps = isinstance(callback, ParamMapper)
        if maps and not isinstance(callback, Freezer | Unfreezer):
            return type(callback).__name__
    return None
