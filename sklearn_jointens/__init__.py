"""Bagging for neural networks with a dial: joint training as scikit-learn has it."""

from sklearn_jointens._classifier import JointEnsembleClassifier
from sklearn_jointens._members import (
    IdenticalMembersWarning,
    ProbabilitiesAsLogitsWarning,
)
from sklearn_jointens._mlp import mlp_classifier, mlp_regressor
from sklearn_jointens._regressor import JointEnsembleRegressor
from sklearn_jointens._scoring import OutOfBagWarning
from sklearn_jointens._search import (
    JointEnsembleClassifierCV,
    JointEnsembleRegressorCV,
)
from sklearn_jointens._tabular import tabular_classifier, tabular_regressor
from sklearn_jointens.nn._way import Vectorization
from sklearn_jointens.training import (
    DivergenceError,
    MemberDominanceWarning,
    MemberFolds,
)

__version__ = "0.1.0.dev0"

__all__ = [
    "DivergenceError",
    "IdenticalMembersWarning",
    "JointEnsembleClassifier",
    "JointEnsembleClassifierCV",
    "JointEnsembleRegressor",
    "JointEnsembleRegressorCV",
    "MemberDominanceWarning",
    "MemberFolds",
    "OutOfBagWarning",
    "ProbabilitiesAsLogitsWarning",
    "Vectorization",
    "mlp_classifier",
    "mlp_regressor",
    "tabular_classifier",
    "tabular_regressor",
]
