"""Floor 1: the joint loss, its families, the combiner, diversity. Pure functions."""

from sklearn_jointens.losses._combine import diversity, geometric_mean
from sklearn_jointens.losses._criteria import (
    CLASS_CRITERIA,
    NUMBER_CRITERIA,
    family_of,
)
from sklearn_jointens.losses._families import (
    Bernoulli,
    BernoulliLabels,
    Categorical,
    CategoricalProbabilities,
    Family,
    Gaussian,
    HeteroscedasticGaussian,
    Huber,
    Poisson,
    TransformedProbabilities,
)
from sklearn_jointens.losses._heteroscedastic import HeteroscedasticGaussianLoss
from sklearn_jointens.losses._joint import JointTerms, joint_loss, joint_terms

__all__ = [
    "CLASS_CRITERIA",
    "NUMBER_CRITERIA",
    "Bernoulli",
    "BernoulliLabels",
    "Categorical",
    "CategoricalProbabilities",
    "Family",
    "Gaussian",
    "HeteroscedasticGaussian",
    "HeteroscedasticGaussianLoss",
    "Huber",
    "JointTerms",
    "Poisson",
    "TransformedProbabilities",
    "diversity",
    "family_of",
    "geometric_mean",
    "joint_loss",
    "joint_terms",
]
