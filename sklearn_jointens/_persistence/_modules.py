"""What a file holds of the members' modules, and modules made of it again."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy

from sklearn_jointens._persistence._alike import alike
from sklearn_jointens._persistence._plain import from_plain, to_plain
from sklearn_jointens._persistence._rules import check
from sklearn_jointens.nn import MLP, TabularMLP
from sklearn_jointens.training import (
    MemberNet,
    Targets,
    derived_net,
    isolated_random_state,
    unfitted_net,
)
from sklearn_jointens.training._module_arguments import input_dtypes

# The last two are of layers that have not seen data yet.
_OF_TORCH = vars(nn.Module()).keys() | {"_initialize_hook", "_load_hook"}
_MISSING = object()


# -- writing ---------------------------------------------------------------------------


def plain_module(
    module: nn.Module,
    fresh: nn.Module,
    keep: Callable[[str, Tensor], None],
    keep_more: Callable[[Tensor], str],
) -> dict[str, Any]:
    """All that a module has learned: tensors go to `keep`, the rest is returned.

    Parameters
    ----------
    module : Module
    fresh : Module
        One that nothing has changed since it was built.
    keep : callable
        Takes the name and the tensor of each entry of the state dict.
    keep_more : callable
        Takes any other tensor and returns its name.

    Raises
    ------
    TypeError
        Names what has no plain form.
    """
    extra, changed = {}, {}
    # What an attribute refers to is kept where it is registered.
    kept = {id(part) for part in module.modules()}
    for name, value in module.state_dict(keep_vars=True).items():
        kept.add(id(value))
        if isinstance(value, Tensor):
            keep(name, value)
        else:
            extra[name] = to_plain(value, f"module_.{name}", keep_more)
    then = _attributes(fresh)
    for name, value in _attributes(module).items():
        if not alike(value, then.pop(name, _MISSING), frozenset(kept)):
            changed[name] = to_plain(value, f"module_.{name}", keep_more)
    if then:
        raise TypeError(
            "save() keeps modules with all the attributes that they were built with. "
            f"Got one without {f'module_.{min(then)}'!r} instead; use pickle or joblib."
        )
    told = {"extra": extra, "changed": changed}
    return {kind: values for kind, values in told.items() if values}


def _attributes(module: nn.Module) -> dict[str, Any]:
    """What a state dict does not hold, by the names of submodules and attributes."""
    found = {
        f"{path}.{name}".removeprefix("."): value
        for path, part in module.named_modules()
        for name, value in (*vars(part).items(), *_passing_buffers(part).items())
        if name not in _OF_TORCH
    }
    for name, parameter in module.named_parameters():
        found[f"{name}.requires_grad"] = parameter.requires_grad
    return found


def _passing_buffers(part: nn.Module) -> dict[str, Any]:
    return {name: part._buffers[name] for name in part._non_persistent_buffers_set}


def fresh_module(member: Any, prototype: Any) -> nn.Module:
    """A member's module as it was before anything changed it."""
    # A module that was given as an instance is the prototype's as it was given.
    told = {} if prototype is None else {"module": unfitted_net(prototype).module}
    with isolated_random_state(0, "cpu"):
        return _unbuilt(member, **told).build_module()


def _unbuilt(member: Any, **told: Any) -> Any:
    net = unfitted_net(member, **told)
    net.targets_, net.data_sizes_ = member.targets_, member.data_sizes_
    return net


def check_told_sizes(member: Any, n_bytes: int) -> None:
    """Raise unless the sizes that a module takes from the data are in proportion.

    A module of the user's own may make anything of its sizes, and those of the data are
    in no tensor that would prove them.
    """
    told = member.get_params_for("module")
    for name, size in member.data_sizes_.items():
        if isinstance(size, int) and told.get(name) == size:
            rule = f"sizes of at most {n_bytes}, the bytes that the members need"
            check(size <= n_bytes, "row_shape", rule, size)


# -- reading ---------------------------------------------------------------------------


def by_member(
    tensors: dict[str, Tensor],
) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Tensors of each member by its own names, and those of no member."""
    groups: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        prefix, _, own_name = name.partition(".")
        groups.setdefault(prefix, {})[own_name] = tensor
    more = groups.pop("more", {})
    numbers = [str(j) for j in range(len(groups))]
    check(groups and groups.keys() == set(numbers), "tensors", "of members", [*groups])
    return [groups[number] for number in numbers], more


def new_member(prototype: Any, X: np.ndarray, targets: Targets, columns: Any) -> Any:
    """A member that is told all that its module may ask for, and has none yet."""
    member = derived_net(prototype, MemberNet)
    member.columns_ = columns
    member.set_params(device="cpu", verbose=0, compile=False)
    return member.observe(X, targets)


def members_of(
    member: Any,
    X: np.ndarray,
    groups: list[dict[str, Tensor]],
    more: dict[str, Tensor],
    told: list[dict[str, Any]],
    n_bytes: int,
) -> list[Any]:
    """Members with these tensors, and what `plain_module` has returned.

    Parameters
    ----------
    member : MemberNet
        The first, without a module.
    X : ndarray of shape (0, ...)
    groups : list of dict of str to Tensor
        Of each member.
    more : dict of str to Tensor
        Those that `keep_more` was given.
    told : list of dict
    n_bytes : int
        Of the file.
    """
    check_told_sizes(member, n_bytes)
    _check_tensors(_on_meta(member), groups, told)
    members: list[Any] = []
    used: set[str] = set()

    def tensor(name: str) -> Tensor:
        used.add(name.removeprefix("more."))
        return more[name.removeprefix("more.")].clone()

    for tensors, learned in zip(groups, told, strict=True):
        one = members[0].sibling() if members else member.initialize()
        extra, changed = (
            {
                name: from_plain(value, f"module_.{name}", tensor)
                for name, value in learned.get(kind, {}).items()
            }
            for kind in ("extra", "changed")
        )
        one.module_.load_state_dict({**tensors, **extra})
        _wake(one.module_, X)
        for name, value in changed.items():
            _set_attribute(one.module_, name, value)
        one.module_.eval()
        members.append(one)
    check(used == more.keys(), "tensors", "all used", sorted(more.keys() - used))
    return members


def _wake(module: nn.Module, X: np.ndarray) -> None:
    """Make lazy layers, which have their weights now, what they stand for."""
    if any(isinstance(part, LazyModuleMixin) for part in module.modules()):
        with torch.no_grad():
            module.eval()(torch.as_tensor(X).to(input_dtypes(module).of(X)))


def _on_meta(member: Any) -> dict[str, Any] | None:
    """The state dict of a new module, its tensors without memory.

    None where the user's own module cannot be built like that.
    """
    try:
        with torch.device("meta"):
            return _unbuilt(member).build_module().state_dict()
    except Exception:
        if member.module in (MLP, TabularMLP):
            raise
        return None


def _check_tensors(
    expected: dict[str, Any] | None,
    groups: list[dict[str, Tensor]],
    told: list[dict[str, Any]],
) -> None:
    """Raise unless all members have the tensors of the module, of the same shapes."""
    expected = groups[0] if expected is None else expected
    for j, (tensors, learned) in enumerate(zip(groups, told, strict=True)):
        known = learned.keys() <= {"extra", "changed"}
        check(known, "members", "what modules have learned", learned)
        names = tensors.keys() | learned.get("extra", {}).keys()
        for name in sorted(names ^ expected.keys()):
            rule = "a tensor of the module" if name in names else "there"
            check(False, f"{j}.{name}", rule, sorted(names))
        for name, tensor in tensors.items():
            like = expected[name]
            if isinstance(like, Tensor) and not is_lazy(like):
                there, rule = _described(tensor), _described(like)
                check(there == rule, f"{j}.{name}", rule, there)


def _described(tensor: Tensor) -> str:
    return f"{tensor.dtype} of shape {tuple(tensor.shape)}"


def _set_attribute(module: nn.Module, path: str, value: Any) -> None:
    """Set what `_attributes` has named."""
    owner, _, name = path.rpartition(".")
    parameters = dict(module.named_parameters())
    if name == "requires_grad" and owner in parameters:
        parameters[owner].requires_grad_(value)
        return
    part = module.get_submodule(owner)
    in_state = part._buffers.keys() - part._non_persistent_buffers_set
    taken = (_OF_TORCH, part._parameters, part._modules, in_state)
    is_own = (
        name.isidentifier()
        and not name.startswith("__")
        and not any(name in names for names in taken)
        and not callable(getattr(type(part), name, None))
    )
    check(is_own, f"module_.{path}", "an attribute of the module's own", value)
    setattr(part, name, value)
