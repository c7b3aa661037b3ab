"""What an ensemble shows of itself, in text and in notebooks."""

import inspect
import re
from typing import Any

from sklearn.base import BaseEstimator
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

    def __repr__(self, N_CHAR_MAX: int = 700) -> str:
        params = self.get_params(deep=False)  # type: ignore[attr-defined]
        params["estimator"] = in_short(params["estimator"])
        # Of this class but for `__repr__`, by which scikit-learn knows what to wrap.
        looks = {"__repr__": BaseEstimator.__repr__}
        shown = type(type(self).__name__, (type(self),), looks)(**params)
        return shown.__repr__(N_CHAR_MAX)


def in_short(net: Any) -> Any:
    """What to show of a member: of a plain net of skorch's what was changed.

    scikit-learn would show all parameters, because most of a net's are in ``**kwargs``.
    """
    is_plain = isinstance(net, NeuralNet) and not isinstance(net, LinkedMixin)
    return type(type(net).__name__, (_Changed,), {})(net) if is_plain else net


class _Changed(BaseEstimator):
    """Has the parameters of a net that are not skorch's defaults."""

    def __init__(self, net: NeuralNet) -> None:
        defaults: dict[str, Any] = {}
        for base in reversed(type(net).__mro__):
            for name, parameter in inspect.signature(base.__init__).parameters.items():
                if parameter.default is not parameter.empty:
                    defaults[name] = repr(parameter.default)
        self._changed = {
            name: _Named(repr(value))
            for name, value in net.get_params(deep=False).items()
            if not name.startswith("_") and repr(value) != defaults.get(name)
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        return self._changed


class _Named:
    """A value by its name, where it has one."""

    def __init__(self, text: str) -> None:
        self.text = _NAMED.sub(r"\1", text)

    def __repr__(self) -> str:
        return self.text
