"""What a net shows of itself, in text and in notebooks."""

import inspect
from typing import Any

# Where these pages are published: the one place that knows it.
_PAGES = "https://sklearn-jointens.readthedocs.io/en/latest/api/generated"

# What a net shows as fitted; all else is skorch's bookkeeping, and the ensemble's.
_FITTED = {"classes_", "criterion_", "history_", "module_", "optimizer_"}


class LinkedMixin:
    """Links from scikit-learn's HTML boxes to the pages of the class.

    It stands before scikit-learn's ``BaseEstimator``.
    """

    _doc_link_module = "sklearn_jointens"
    _doc_link_template = f"{_PAGES}/{{estimator_module}}.{{estimator_name}}.html"


class ShownNet(LinkedMixin):
    """A net in scikit-learn's HTML boxes."""

    # A public floor may have folders.
    _doc_link_template = f"{_PAGES}/sklearn_jointens.training.{{estimator_name}}.html"
    initialized_: bool

    def _get_fitted_attr_html(self, doc_link: str = "") -> Any:
        shown = super()._get_fitted_attr_html(doc_link)  # type: ignore[misc]
        for name in list(shown):
            if not self.initialized_ or name not in _FITTED:
                del shown[name]
        return shown


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
