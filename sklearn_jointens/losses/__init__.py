"""Floor 1: the joint loss, its families, the combiner, diversity. Pure functions."""

from sklearn_jointens.losses._combine import diversity, geometric_mean
from sklearn_jointens.losses._criteria import family_of
from sklearn_jointens.losses._families import (
    Bernoulli,
    Categorical,
    CategoricalProbabilities,
    Family,
    TransformedProbabilities,
)
from sklearn_jointens.losses._grouped import GroupedTerms, grouped_terms
from sklearn_jointens.losses._joint import JointTerms, joint_loss, joint_terms

__all__ = [
    "Bernoulli",
    "Categorical",
    "CategoricalProbabilities",
    "Family",
    "GroupedTerms",
    "JointTerms",
    "TransformedProbabilities",
    "diversity",
    "family_of",
    "geometric_mean",
    "grouped_terms",
    "joint_loss",
    "joint_terms",
]
