"""What a net shows of itself, in text and in notebooks."""

import inspect
from typing import Any


def show_changes_from(net: Any) -> None:
    """Let scikit-learn show what differs from this net, in nets of its class.

    The parameters of skorch's nets have no defaults that scikit-learn could look up, so
    that it would show them all.

    Parameters
    ----------
    net : MemberNetClassifier
        As its maker makes it when it is told nothing.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [
        inspect.Parameter("self", kind),
        *(
            inspect.Parameter(name, kind, default=value)
            for name, value in net.get_params(deep=False).items()
        ),
    ]
    type(net).__init__.__signature__ = inspect.Signature(parameters)
