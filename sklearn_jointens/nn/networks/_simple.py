"""Ready-made member networks."""

from collections.abc import Sequence
from numbers import Real

import torch
from torch import Tensor, nn

from sklearn_jointens.nn.networks._arguments import as_sizes, check_size, is_number

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "identity": nn.Identity,
    "logistic": nn.Sigmoid,
}


class MLP(nn.Module):
    """Multi-layer perceptron.

    With one hidden layer it is the member of the Fashion-MNIST experiments of [1]_.
    Weights and biases start as in every ``torch.nn.Linear``: uniform between plus and
    minus ``1 / sqrt(fan_in)``.

    Parameters
    ----------
    n_features_in : int
        Number of input features, the product of all axes of x but the first.
    n_outputs : int
        Number of outputs, such as the logits of as many classes.
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

    References
    ----------
    .. [1] A. Webb et al. To ensemble or not ensemble: when does end-to-end training
       fail? ECML PKDD, 2020. arXiv:1902.04422.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import MLP
    >>> network = MLP(784, 10, hidden_layer_sizes=(64,))
    >>> network(torch.zeros(5, 28, 28)).shape
    torch.Size([5, 10])
    >>> sum(parameter.numel() for parameter in network.parameters())
    50890
    """

    def __init__(
        self,
        n_features_in: int,
        n_outputs: int,
        hidden_layer_sizes: int | Sequence[int] = (64,),
        activation: str = "relu",
        dropout: float = 0.0,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        check_size("MLP", "n_features_in", n_features_in)
        check_size("MLP", "n_outputs", n_outputs)
        sizes = as_sizes("MLP", "hidden_layer_sizes", hidden_layer_sizes)
        if activation not in _ACTIVATIONS:
            raise ValueError(
                "The 'activation' parameter of MLP must be one of "
                f"{tuple(_ACTIVATIONS)}. Got {activation!r} instead."
            )
        if not is_number(dropout, Real) or not 0 <= dropout < 1:
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
        self.output = nn.Linear(n_inputs, n_outputs, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of rows.

        Parameters
        ----------
        x : Tensor of shape (B, ...)
            All axes but the first are flattened.

        Returns
        -------
        outputs : Tensor of shape (B, n_outputs)
        """
        return self.output(self.hidden(x.flatten(1)))


class ConvNet(nn.Module):
    """Plain convolutional network.

    Convolutions of 3 x 3 without padding, a ReLU after each, then the average over
    each channel and a linear layer. With the default widths and strides it is the
    member of the CIFAR-10 experiments of [1]_. Weights and biases start as in every
    ``torch.nn.Conv2d``: uniform between plus and minus ``1 / sqrt(fan_in)``.

    Parameters
    ----------
    in_channels : int
        Number of channels of an image.
    n_outputs : int
        Number of outputs, such as the logits of as many classes.
    widths : int or sequence of int, default=(32, 64, 64, 128, 128)
        Number of channels that each convolution returns.
    strides : int or sequence of int, default=(1, 2, 1, 2, 1)
        Stride of each convolution; as many as `widths`.
    dtype : torch.dtype, optional
        Of the weights; x must have it too. By default torch's default.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    Notes
    -----
    An image must leave at least one pixel after the last convolution: with the default
    strides it must have 21 x 21.

    References
    ----------
    .. [1] A. Webb et al. To ensemble or not ensemble: when does end-to-end training
       fail? ECML PKDD, 2020. arXiv:1902.04422.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import ConvNet
    >>> network = ConvNet(in_channels=3, n_outputs=10)
    >>> network(torch.zeros(5, 3, 32, 32)).shape
    torch.Size([5, 10])
    >>> sum(parameter.numel() for parameter in network.parameters())
    279050
    """

    def __init__(
        self,
        in_channels: int,
        n_outputs: int,
        widths: int | Sequence[int] = (32, 64, 64, 128, 128),
        strides: int | Sequence[int] = (1, 2, 1, 2, 1),
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        check_size("ConvNet", "in_channels", in_channels)
        check_size("ConvNet", "n_outputs", n_outputs)
        all_widths = as_sizes("ConvNet", "widths", widths)
        all_strides = as_sizes("ConvNet", "strides", strides)
        if len(all_strides) != len(all_widths):
            raise ValueError(
                "The 'strides' parameter of ConvNet must be as many as 'widths', "
                f"{len(all_widths)}. Got {strides!r} instead."
            )
        layers: list[nn.Module] = []
        channels = in_channels
        for width, stride in zip(all_widths, all_strides, strict=True):
            layers += [nn.Conv2d(channels, width, 3, stride, dtype=dtype), nn.ReLU()]
            channels = width
        self.features = nn.Sequential(*layers)
        self.output = nn.Linear(channels, n_outputs, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of rows.

        Parameters
        ----------
        x : Tensor of shape (B, in_channels, height, width)

        Returns
        -------
        outputs : Tensor of shape (B, n_outputs)
        """
        return self.output(self.features(x).mean((2, 3)))
