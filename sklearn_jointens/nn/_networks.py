"""Ready-made member networks."""

from collections.abc import Sequence
from numbers import Integral, Real

import torch
from torch import Tensor, nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
}


class MLP(nn.Module):
    """Multi-layer perceptron that returns logits.

    Weights and biases start as in every ``torch.nn.Linear``: uniform between plus and
    minus ``1 / sqrt(fan_in)``.

    Parameters
    ----------
    n_features_in : int
        Number of input features, the product of all axes of x but the first.
    n_classes : int
        Number of logits.
    hidden_layer_sizes : int or sequence of int, default=(64,)
        Number of units of each hidden layer; empty for a linear model.
    activation : str, default="relu"
        Activation of the hidden layers: "relu", "tanh", "gelu", "silu", "identity" or
        "logistic".
    dropout : float, default=0.0
        Probability of dropping a hidden unit, after its activation.
    dtype : torch.dtype, optional
        Of the weights; x must have it too. By default torch's default.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import MLP
    >>> MLP(784, 10, hidden_layer_sizes=(32, 16))(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 10])
    """

    def __init__(
        self,
        n_features_in: int,
        n_classes: int,
        hidden_layer_sizes: int | Sequence[int] = (64,),
        activation: str = "relu",
        dropout: float = 0.0,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        _check_size("n_features_in", n_features_in)
        _check_size("n_classes", n_classes)
        sizes = _as_sizes(hidden_layer_sizes)
        if activation not in _ACTIVATIONS:
            raise ValueError(
                "The 'activation' parameter of MLP must be one of "
                f"{tuple(_ACTIVATIONS)}. Got {activation!r} instead."
            )
        if not _is_number(dropout, Real) or not 0 <= dropout < 1:
            raise ValueError(
                "The 'dropout' parameter of MLP must be a float in the range "
                f"[0.0, 1.0). Got {dropout!r} instead."
            )
        layers: list[nn.Module] = []
        n_inputs = n_features_in
        for size in sizes:
            layers += [
                nn.Linear(n_inputs, size, dtype=dtype),
                _ACTIVATIONS[activation](),
            ]
            if dropout > 0:
                layers.append(nn.Dropout(dropout))
            n_inputs = size
        self.hidden = nn.Sequential(*layers)
        self.output = nn.Linear(n_inputs, n_classes, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Logits.

        Parameters
        ----------
        x : Tensor of shape (B, ...)
            All axes but the first are flattened.

        Returns
        -------
        logits : Tensor of shape (B, n_classes)
        """
        return self.output(self.hidden(x.flatten(1)))


def _as_sizes(hidden_layer_sizes: int | Sequence[int]) -> list[int]:
    if isinstance(hidden_layer_sizes, Integral):
        sizes = [int(hidden_layer_sizes)]
    elif isinstance(hidden_layer_sizes, str) or not hasattr(
        hidden_layer_sizes, "__iter__"
    ):
        sizes = [0]
    else:
        sizes = list(hidden_layer_sizes)
    if not all(_is_number(size, Integral) and size >= 1 for size in sizes):
        raise ValueError(
            "The 'hidden_layer_sizes' parameter of MLP must be an int of at least 1 or "
            f"a sequence of such. Got {hidden_layer_sizes!r} instead."
        )
    return sizes


def _check_size(name: str, value: int) -> None:
    if not _is_number(value, Integral) or value < 1:
        raise ValueError(
            f"The {name!r} parameter of MLP must be an int of at least 1. "
            f"Got {value!r} instead."
        )


def _is_number(value: object, kind: type) -> bool:
    # A bool is an int to Python, never to a user who mistook one parameter for another.
    return isinstance(value, kind) and not isinstance(value, bool)
