"""scikit-learn's networks as members of Bagging."""

from typing import TYPE_CHECKING, Any

from sklearn.neural_network import MLPClassifier, MLPRegressor

_MLP: Any = MLPClassifier if TYPE_CHECKING else object


class _OnDrawnRows(_MLP):
    """`fit` takes no weights, so that Bagging hands over the rows it has drawn.

    As weights, a short last batch may happen to weigh nothing, on which the networks of
    scikit-learn 1.9 fail; and they learn less well from them.
    """

    def fit(self, X: Any, y: Any) -> Any:
        return super().fit(X, y)


class MLPOnDrawnRows(_OnDrawnRows, MLPClassifier):
    """A classifier."""


class MLPRegressorOnDrawnRows(_OnDrawnRows, MLPRegressor):
    """A regressor."""
