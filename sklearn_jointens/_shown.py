"""What an ensemble shows of itself, in text and in notebooks."""

import inspect
import re
import textwrap
from typing import Any

from skorch import NeuralNet

from sklearn_jointens.training._shown import LinkedMixin

# A class, a function or an object in Python's own words, and its name among them.
_NAMED = re.compile(
    r"<(?:class '|function )?(?:[\w.]|<locals>)*?(\w+)(?:'| (?:object )?at 0x\w+)>"
)


class ShownEnsemble(LinkedMixin):
    """An estimator of ensembles, whose members are shown in short.

    It stands before scikit-learn's ``BaseEstimator``.
    """

    def __repr__(self) -> str:
        return textwrap.fill(
            in_short(self),
            width=80,
            subsequent_indent=" " * len(f"{type(self).__name__}("),
            break_long_words=False,
            break_on_hyphens=False,
        )


def in_short(estimator: Any) -> str:
    """The name of an estimator, and its parameters that were changed.

    scikit-learn would show all parameters of a skorch net, because most of them are in
    ``**kwargs``.
    """
    defaults = {
        name: repr(parameter.default)
        for base in reversed(type(estimator).__mro__)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
    }
    changed = (
        f"{name}={_text(value)}"
        for name, value in sorted(estimator.get_params(deep=False).items())
        if not name.startswith("_") and repr(value) != defaults.get(name)
    )
    return f"{type(estimator).__name__}({', '.join(changed)})"


def _text(value: Any) -> str:
    """A net in short, and anything else by its name, where it has one."""
    is_net = isinstance(value, NeuralNet)
    return in_short(value) if is_net else _NAMED.sub(r"\1", repr(value))
