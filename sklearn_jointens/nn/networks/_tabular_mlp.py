"""The member network for tables."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sklearn_jointens.nn.layers._encoding import TabularEncoding
from sklearn_jointens.nn.networks._simple import MLP


class TabularMLP(nn.Module):
    """Multi-layer perceptron beside a linear model on the encoded rows of a table.

    Both are given the features of the encoding; their sum is the output, as in [1]_.
    The linear model starts at zero. Small tables are often as good as linear, and it is
    there from the first step.

    Parameters
    ----------
    encoding : TabularEncoding
        Makes features of rows. It has nothing to train, and members may share it.
    n_outputs : int
        Number of outputs, such as the logits of as many classes.
    hidden_layer_sizes : int or sequence of int, default=(256, 256)
        Number of units of each hidden layer.
    activation : str, default="relu"
        As in `MLP`.
    dropout : float, default=0.0
        Probability of dropping a hidden unit, after its activation.
    dtype : torch.dtype, optional
        Of the weights and of the encoding's features. By default torch's default.

    Raises
    ------
    ValueError
        If a parameter is out of its range.

    References
    ----------
    .. [1] H.-T. Cheng et al. "Wide & Deep Learning for Recommender Systems", DLRS 2016.
       arXiv:1606.07792.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_jointens.nn import TabularMLP, tabular_encoding
    >>> X = np.array([[0.5, np.nan], [1e9, 2.0], [0.7, 3.0]])
    >>> network = TabularMLP(tabular_encoding(X, n_bins=2), n_outputs=3)
    >>> network(torch.from_numpy(X)).shape
    torch.Size([3, 3])
    """

    def __init__(
        self,
        encoding: TabularEncoding,
        n_outputs: int,
        hidden_layer_sizes: int | Sequence[int] = (256, 256),
        activation: str = "relu",
        dropout: float = 0.0,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        if not isinstance(encoding, TabularEncoding):
            raise ValueError(
                "The 'encoding' parameter of TabularMLP must be a TabularEncoding. "
                f"Got {encoding!r} instead."
            )
        self.encoding = encoding
        self.mlp = MLP(
            encoding.out_features,
            n_outputs,
            hidden_layer_sizes,
            activation,
            dropout,
            dtype,
        )
        self.linear = nn.Linear(
            encoding.out_features, n_outputs, bias=False, dtype=dtype
        )
        nn.init.zeros_(self.linear.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Outputs of rows.

        Parameters
        ----------
        x : Tensor of shape (B, ...), floating dtype
            Numbers, codes of categories, and NaN where a value is missing. All axes
            but the first are flattened.

        Returns
        -------
        outputs : Tensor of shape (B, n_outputs)
        """
        features = self.encoding(x.flatten(1))
        return self.mlp(features) + self.linear(features)
