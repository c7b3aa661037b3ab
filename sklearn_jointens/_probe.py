"""What members make of a few rows, checked before any training."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from skorch import NeuralNetBinaryClassifier
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from sklearn_jointens._checks import check_range
from sklearn_jointens._members import ProbabilitiesAsLogitsWarning
from sklearn_jointens.losses import Family
from sklearn_jointens.training._copies import net_with
from sklearn_jointens.training._module_arguments import input_dtypes
from sklearn_jointens.training._prediction import (
    has_own_batches,
    prediction_family,
    rows_as_predicted,
)
from sklearn_jointens.training._seams import overrides
from sklearn_jointens.training._targets import LabelTargets

# Rows that outputs and vectorizations are checked on.
_PROBE_ROWS = 8


def probe(
    members: Sequence[Any], X: Any, family: Family, owner: str
) -> tuple[Tensor, Tensor]:
    """A few rows, after checking what a member makes of them.

    Parameters
    ----------
    members : sequence of MemberNet
    X : ndarray or CSR array of shape (n_samples, ...)
    family : Family
    owner : str
        The estimator's name, for the message.

    Returns
    -------
    rows : Tensor of shape (n_samples, ...)
        As the members' nets take them.
    example : Tensor of shape (n_samples, ...)
        As their modules do, which an 'infer' of the user's own may give other rows.

    Raises
    ------
    ValueError
        The net cannot take X, or what it puts out is not what the criterion needs.
    """
    member = members[0]
    if member._modules != ["module"]:
        raise ValueError(
            f"The 'estimator' parameter of {owner} must have one module, 'module'. "
            f"Got {member._modules} instead."
        )
    is_binary = isinstance(member, NeuralNetBinaryClassifier)
    if is_binary and isinstance(member.targets_, LabelTargets):
        raise ValueError(
            f"The 'estimator' parameter of {owner} must be a NeuralNetClassifier for "
            "several labels. Got a NeuralNetBinaryClassifier instead, which predicts "
            "one logit a row."
        )
    if is_binary and family.n_raw(2) != 1:
        raise ValueError(
            "The 'criterion' parameter of the member must be BCEWithLogitsLoss for a "
            "NeuralNetBinaryClassifier, which predicts one logit a row. "
            f"Got {type(member.criterion_).__name__} instead."
        )
    _check_monitors(member, owner)
    if not has_own_batches(member):
        check_range(owner, X, input_dtypes(member.module_))
    rows = rows_as_predicted(member, X[:_PROBE_ROWS])
    module = member.module_
    try:
        own = overrides(member, "infer")
        with _evaluating(module), _inputs_of(module, own) as inputs:
            output = _infer(member, rows.clone())  # which it may write to
        with torch.no_grad():
            for other in members[1:]:
                if any(map(is_lazy, other.module_.parameters())):
                    _infer(other, rows.clone())  # what gives lazy layers their sizes
    except Exception as error:
        raise ValueError(
            f"The 'estimator' parameter of {owner} must have a module that takes X, in "
            f"batches of shape (n_samples, {', '.join(map(str, rows.shape[1:]))}) and "
            f"dtype {rows.dtype}. {type(module).__name__} raised "
            f"{type(error).__name__}: {error}"
        ) from error
    _check_output(member, output, len(rows), family, owner)
    return rows, inputs[0] if inputs else rows


def _infer(member: Any, rows: Tensor) -> Any:
    """A member's output, without what skorch's own `infer` expects of it."""
    return (member.infer if overrides(member, "infer") else member.module_)(rows)


def _first(output: Any) -> Any:
    return output[0] if isinstance(output, tuple) else output


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """A block in which a module is evaluated, without gradients."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, was_training in modes:
            part.training = was_training


@contextmanager
def _inputs_of(module: nn.Module, watched: bool) -> Iterator[list[Tensor]]:
    """A list of what the module is given in a block; empty unless it is watched."""
    inputs: list[Tensor] = []
    if not watched:
        yield inputs
        return
    hook = module.register_forward_pre_hook(
        lambda _, args: inputs.extend(arg.clone() for arg in args[:1])
    )
    try:
        yield inputs
    finally:
        hook.remove()


def _check_output(
    member: Any, output: Any, n_rows: int, family: Family, owner: str
) -> None:
    output, module = _first(output), member.module_
    n_outputs = member.targets_.n_predicted
    if isinstance(output, Tensor):
        wrong = family.check_output(output, n_rows, n_outputs)
        got = f"of shape {tuple(output.shape)}"
    else:
        wrong = "outputs that are a tensor, or a tuple that begins with one"
        got = f"that is a {type(output).__name__}"
    if wrong is not None:
        raise ValueError(
            f"The 'estimator' parameter of {owner} must have a module with {wrong}. "
            f"Got {type(module).__name__} with an output {got} instead."
        )
    suspicion = family.suspect(output)
    if suspicion is not None:
        warnings.warn(
            f"{type(module).__name__} {suspicion}",
            ProbabilitiesAsLogitsWarning,
            stacklevel=7,
        )
    wrong = prediction_family(member, family).check_output(
        output, n_rows, member.targets_.n_predicted
    )
    if wrong is not None:
        raise ValueError(
            "The 'predict_nonlinearity' parameter of the member must make "
            f"{wrong} of a member's output. Got {member.predict_nonlinearity!r} "
            "instead."
        )


def check_infer(net: Any, members: Sequence[Any], rows: Tensor, owner: str) -> None:
    """Raise unless an 'infer' of the user's own does for all what it does for each.

    Parameters
    ----------
    net : JointNet
    members : sequence of MemberNet
    rows : Tensor of shape (n_samples, ...)
        As the members' nets take them.
    owner : str
        The estimator's name, for the message.
    """
    if not overrides(net, "infer"):
        return
    wrong = "gives other outputs there"
    with _evaluating(net.plain_module):
        try:
            together = net_with(net, module_=net.plain_module).infer(rows.clone())
        except Exception as error:
            together, wrong = None, f"raised {type(error).__name__}: {error}"
        alone = []
        for member in members:
            with _evaluating(member.module_):
                alone.append(_first(member.infer(rows.clone())))
    expected = torch.stack(alone)
    if (
        together is None
        or together.shape != expected.shape
        or not torch.allclose(together, expected, rtol=1e-3, atol=1e-4)
    ):
        raise ValueError(
            f"The 'estimator' parameter of {owner} must have an 'infer' that does for "
            "the outputs of all members at once, of shape (n_members, n_samples, ...), "
            "what it does for those of each member: axes are counted from the last. "
            f"Got that of {type(net).prototype_class.__name__} instead, which {wrong}."
        )


def _check_monitors(member: Any, owner: str) -> None:
    """Raise when a callback waits for validation figures that there will not be."""
    if member.train_split:
        return
    for name, callback in member.callbacks_:
        monitor = getattr(callback, "monitor", None)
        if isinstance(monitor, str) and monitor.startswith("valid_"):
            raise ValueError(
                f"The 'train_split' parameter of the member of {owner} must be set, "
                f"for example to skorch's ValidSplit(5), when the callback {name!r} "
                f"monitors {monitor!r}. "
                f"Got {member.train_split!r} instead."
            )
