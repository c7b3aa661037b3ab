"""Running M networks of one architecture as one module, and member networks."""

from sklearn_jointens.nn._module import VectorizedModule
from sklearn_jointens.nn._vectorize import split_members, vectorize_members
from sklearn_jointens.nn.layers._basic import (
    VectorizedEmbedding,
    VectorizedLinear,
    VectorizedPReLU,
)
from sklearn_jointens.nn.layers._convolution import VectorizedConv
from sklearn_jointens.nn.layers._encoding import (
    TabularEncoding,
    VectorizedTabularEncoding,
)
from sklearn_jointens.nn.layers._normalization import (
    VectorizedBatchNorm,
    VectorizedGroupNorm,
    VectorizedInstanceNorm,
    VectorizedLayerNorm,
)
from sklearn_jointens.nn.networks._densenet import DenseNetBC
from sklearn_jointens.nn.networks._learn_encoding import tabular_encoding
from sklearn_jointens.nn.networks._simple import MLP, ConvNet
from sklearn_jointens.nn.networks._tabular_mlp import TabularMLP

__all__ = [
    "MLP",
    "ConvNet",
    "DenseNetBC",
    "TabularEncoding",
    "TabularMLP",
    "VectorizedBatchNorm",
    "VectorizedConv",
    "VectorizedEmbedding",
    "VectorizedGroupNorm",
    "VectorizedInstanceNorm",
    "VectorizedLayerNorm",
    "VectorizedLinear",
    "VectorizedModule",
    "VectorizedPReLU",
    "VectorizedTabularEncoding",
    "split_members",
    "tabular_encoding",
    "vectorize_members",
]
