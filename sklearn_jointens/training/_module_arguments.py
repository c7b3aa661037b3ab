"""What a module is told of the data: its sizes, and the dtype it computes in."""

from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from sklearn_jointens.nn import (
    TabularEncoding,
    VectorizedEmbedding,
    VectorizedTabularEncoding,
)
from sklearn_jointens.nn._copying import named_tensors

# Constructor arguments of a module that are filled in from the data.
INPUT_SIZE_NAMES = (
    "n_features_in",
    "in_features",
    "n_features",
    "n_inputs",
    "num_features",
    "input_dim",
    "input_size",
)
OUTPUT_SIZE_NAMES = (
    "n_classes",
    "out_features",
    "n_outputs",
    "num_classes",
    "output_dim",
    "output_size",
)
CHANNELS_NAMES = ("in_channels", "n_channels")
DTYPE_NAME = "dtype"


def sizes_from_data(X: Any, n_outputs: int) -> dict[str, Any]:
    """Values of the constructor arguments that a module may take from the data.

    Parameters
    ----------
    X : array of shape (n_samples, ...)
    n_outputs : int
        How many numbers the module puts out for a row.

    Returns
    -------
    dict
        By argument name: the number of features of a row, its channels where rows are
        images, the number of outputs, and the name of the floating dtype of X.
    """
    sizes: dict[str, Any] = dict.fromkeys(INPUT_SIZE_NAMES, int(np.prod(X.shape[1:])))
    sizes.update(dict.fromkeys(OUTPUT_SIZE_NAMES, n_outputs))
    if len(X.shape) > 2:
        sizes.update(dict.fromkeys(CHANNELS_NAMES, int(X.shape[1])))
    is_double = str(X.dtype).rpartition(".")[2] == "float64"
    sizes[DTYPE_NAME] = "float64" if is_double else "float32"
    return sizes


class InputDtypes(NamedTuple):
    """The dtypes a module takes arrays of numbers in.

    Attributes
    ----------
    of_floats, of_integers : torch.dtype
    """

    of_floats: torch.dtype
    of_integers: torch.dtype

    def of(self, X: Any) -> torch.dtype:
        """The dtype to take X in."""
        kind = str(X.dtype).rpartition(".")[2]
        return self.of_integers if kind.startswith(("int", "uint")) else self.of_floats


def input_dtypes(module: nn.Module) -> InputDtypes:
    """The dtypes a module takes arrays in.

    That of its weights, integers for embeddings, and for the encoding of a table the
    dtype it was learned in.
    """
    of_weights = weight_dtype(module)
    dtypes = InputDtypes(of_weights, of_weights)
    tables = nn.Embedding | nn.EmbeddingBag | VectorizedEmbedding
    for layer in module.modules():
        if isinstance(layer, TabularEncoding | VectorizedTabularEncoding):
            of_encoding = named_tensors(layer)["center"].dtype
            return InputDtypes(of_encoding, of_encoding)
        if isinstance(layer, tables):
            dtypes = InputDtypes(of_weights, torch.int64)
    return dtypes


def weight_dtype(module: nn.Module) -> torch.dtype:
    """The floating dtype a module computes in."""
    for parameter in module.parameters():
        if parameter.is_floating_point():
            return parameter.dtype
    return torch.float32
