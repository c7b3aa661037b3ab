"""Exponential families, one a file, and convex losses that members share like one.

For an exponential family with its canonical link, the negative log-likelihood of a
row is convex in the natural parameters ``z`` and linear in a statistic of the target,

    nll(z, y) = A(z) - <statistic(y), z> + base(y),

where the gradient of ``A`` is the family's mean. The ensemble averages natural
parameters. A family owns its mathematics: a new one is a new class here and a line in
``_criteria.py``.
"""

from sklearn_jointens.losses._families._base import Family
from sklearn_jointens.losses._families._bernoulli import Bernoulli, BernoulliLabels
from sklearn_jointens.losses._families._categorical import (
    Categorical,
    CategoricalProbabilities,
    TransformedProbabilities,
)
from sklearn_jointens.losses._families._convex import Huber
from sklearn_jointens.losses._families._gaussian import (
    Gaussian,
    HeteroscedasticGaussian,
)
from sklearn_jointens.losses._families._poisson import Poisson

__all__ = [
    "Bernoulli",
    "BernoulliLabels",
    "Categorical",
    "CategoricalProbabilities",
    "Family",
    "Gaussian",
    "HeteroscedasticGaussian",
    "Huber",
    "Poisson",
    "TransformedProbabilities",
]
