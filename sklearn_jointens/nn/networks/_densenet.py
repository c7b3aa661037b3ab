"""Densely connected networks, the largest members of the paper."""

from numbers import Integral, Real

import torch
from torch import Tensor, nn

from sklearn_jointens.nn.networks._arguments import check_size, is_number

_N_BLOCKS = 3


class DenseNetBC(nn.Module):
    """Densely connected convolutional network.

    The network of [1]_ for images of 32 x 32, with bottleneck layers and compression:
    a convolution, three dense blocks with a transition that halves the image between
    them, the average over each channel, and a linear layer. In [2]_ it is the member
    of the CIFAR-100 experiments. Convolutions have no bias and He-normal weights [3]_,
    batch normalizations begin with weight 1 and bias 0, the linear layer as in torch.

    Parameters
    ----------
    depth : int
        Number of layers with weights on the way from input to output, at least 10:
        4 outside of the dense blocks, and 6 for each layer that all three have.
    growth_rate : int
        Number of channels that each layer of a dense block adds, k.
    reduction : float, default=0.5
        Share of the channels that a transition keeps.
    in_channels : int
        Number of channels of an image.
    n_outputs : int
        Number of outputs, such as the logits of as many classes.
    dtype : torch.dtype, optional
        Of the weights; x must have it too. By default torch's default.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    .. [1] G. Huang, Z. Liu, L. van der Maaten and K. Q. Weinberger. Densely connected
       convolutional networks. CVPR, 2017. arXiv:1608.06993.
    .. [2] A. Webb et al. To ensemble or not ensemble: when does end-to-end training
       fail? ECML PKDD, 2020. arXiv:1902.04422.
    .. [3] K. He, X. Zhang, S. Ren and J. Sun. Delving deep into rectifiers. ICCV, 2015.
       arXiv:1502.01852.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import DenseNetBC
    >>> network = DenseNetBC(depth=100, growth_rate=12, in_channels=3, n_outputs=10)
    >>> network(torch.zeros(2, 3, 32, 32)).shape
    torch.Size([2, 10])
    >>> sum(parameter.numel() for parameter in network.parameters())
    769162
    """

    def __init__(
        self,
        depth: int,
        growth_rate: int,
        reduction: float = 0.5,
        *,
        in_channels: int,
        n_outputs: int,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        n_layers = _layers_of_a_block(depth)
        for name, size in (
            ("growth_rate", growth_rate),
            ("in_channels", in_channels),
            ("n_outputs", n_outputs),
        ):
            check_size("DenseNetBC", name, size)
        if not is_number(reduction, Real) or not 0 < reduction <= 1:
            raise ValueError(
                "The 'reduction' parameter of DenseNetBC must be a float in the range "
                f"(0.0, 1.0]. Got {reduction!r} instead."
            )
        channels = 2 * growth_rate
        parts: list[nn.Module] = [_convolution(in_channels, channels, 3, dtype)]
        for block in range(_N_BLOCKS):
            if block > 0:
                kept = max(1, int(reduction * channels))
                parts.append(_transition(channels, kept, dtype))
                channels = kept
            layers = []
            for _ in range(n_layers):
                layers.append(_DenseLayer(channels, growth_rate, dtype))
                channels += growth_rate
            parts.append(nn.Sequential(*layers))
        parts += _normalized(channels, dtype)
        self.features = nn.Sequential(*parts)
        self.output = nn.Linear(channels, n_outputs, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of rows.

        Parameters
        ----------
        x : Tensor of shape (B, in_channels, height, width)
            Height and width of at least 4.

        Returns
        -------
        outputs : Tensor of shape (B, n_outputs)
        """
        return self.output(self.features(x).mean((2, 3)))


class _DenseLayer(nn.Module):
    """Adds `growth_rate` channels, computed from all channels before them."""

    def __init__(self, channels: int, growth_rate: int, dtype: torch.dtype | None):
        super().__init__()
        bottleneck = 4 * growth_rate
        self.layers = nn.Sequential(
            *_normalized(channels, dtype),
            _convolution(channels, bottleneck, 1, dtype),
            *_normalized(bottleneck, dtype),
            _convolution(bottleneck, growth_rate, 3, dtype),
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.layers(x)], dim=1)


def _transition(channels: int, kept: int, dtype: torch.dtype | None) -> nn.Module:
    return nn.Sequential(
        *_normalized(channels, dtype),
        _convolution(channels, kept, 1, dtype),
        nn.AvgPool2d(2),
    )


def _normalized(channels: int, dtype: torch.dtype | None) -> list[nn.Module]:
    return [nn.BatchNorm2d(channels, dtype=dtype), nn.ReLU()]


def _convolution(
    channels: int, width: int, size: int, dtype: torch.dtype | None
) -> nn.Module:
    layer = nn.Conv2d(channels, width, size, padding=size // 2, bias=False, dtype=dtype)
    nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
    return layer


def _layers_of_a_block(depth: int) -> int:
    # A layer of a block is two convolutions; the first convolution, the two
    # transitions and the linear layer are the other four.
    per_layer = 2 * _N_BLOCKS
    if (
        not is_number(depth, Integral)
        or depth < 4 + per_layer
        or (depth - 4) % per_layer
    ):
        raise ValueError(
            "The 'depth' parameter of DenseNetBC must be an int of at least 10 such "
            f"that depth - 4 is a multiple of 6. Got {depth!r} instead."
        )
    return (depth - 4) // per_layer
