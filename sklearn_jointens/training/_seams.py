"""Methods of a skorch net that a prototype's class may have of its own.

The nets of this package stand in front of the prototype's class and train all members
at once. What they call of it is honoured; what they do without would be dropped in
silence, and is refused.
"""

from typing import Any

_STOCK_MODULES = (
    *("skorch.classifier", "skorch.regressor", "skorch.net"),
    "sklearn.base",
)

_ASK_FOR_OUTPUTS = (
    "which predictions with all members at once do without; use 'infer' instead"
)
_ASK_FOR_PROBABILITIES = (
    "which predictions with all members at once do without; use the "
    "'predict_nonlinearity' parameter instead"
)

# What an ensemble does without, why, and what does the same.
REFUSED_METHODS = {
    "get_loss": "which the joint loss takes the place of; choose a 'criterion' instead",
    "get_all_learnable_params": "which members share; use skorch's Freezer instead",
    "get_split_datasets": (
        "which does not tell the rows that are split; use a 'train_split' instead"
    ),
    "evaluation_step": _ASK_FOR_OUTPUTS,
    "forward": _ASK_FOR_OUTPUTS,
    "forward_iter": _ASK_FOR_OUTPUTS,
    "predict": _ASK_FOR_PROBABILITIES,
    "predict_proba": _ASK_FOR_PROBABILITIES,
    "score": "which an ensemble has of its own; use a scorer instead",
    "fit": "which members that are trained as one do without; use 'fit_loop' instead",
}


def is_own(method: Any) -> bool:
    """Whether a method is neither skorch's classifiers' nor of this package."""
    module = method.__module__
    return module not in _STOCK_MODULES and not module.startswith("sklearn_jointens.")


def overrides(net: Any, name: str) -> bool:
    """Whether the prototype's class has a method of its own.

    Parameters
    ----------
    net : skorch net
        A prototype, or a net that is derived of one.
    name : str
    """
    cls = type(net)
    # Not all nets have a `score`, say.
    method = getattr(getattr(cls, "prototype_class", cls), name, None)
    return method is not None and is_own(method)
