"""The search for lam: a grid of ensembles, trained together, scored and compared."""

from sklearn_jointens._search._estimator import JointEnsembleClassifierCV

__all__ = ["JointEnsembleClassifierCV"]
