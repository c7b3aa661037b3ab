"""Running M networks of one architecture as one module, and member networks."""

from sklearn_jointens.nn._base import VectorizedModule
from sklearn_jointens.nn._layers import (
    VectorizedBatchNorm1d,
    VectorizedEmbedding,
    VectorizedLayerNorm,
    VectorizedLinear,
)
from sklearn_jointens.nn._networks import MLP
from sklearn_jointens.nn._vectorize import split_members, vectorize_members

__all__ = [
    "MLP",
    "VectorizedBatchNorm1d",
    "VectorizedEmbedding",
    "VectorizedLayerNorm",
    "VectorizedLinear",
    "VectorizedModule",
    "split_members",
    "vectorize_members",
]
