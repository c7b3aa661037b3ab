"""The search for lam: a grid of ensembles, trained together, scored and compared."""

from sklearn_jointens._search._classifier_cv import JointEnsembleClassifierCV
from sklearn_jointens._search._regressor_cv import JointEnsembleRegressorCV

__all__ = ["JointEnsembleClassifierCV", "JointEnsembleRegressorCV"]
