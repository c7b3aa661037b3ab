"""How a row of a table becomes features: one encoding for all members."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sklearn_jointens.nn._way import CannotVectorize
from sklearn_jointens.nn.layers._basic import VectorizedLayer

# Scaled numbers beyond this are all alike; float32 can still square it.
_FAR = 1e9


class TabularEncoding(nn.Module):
    """Features of table rows: scaled numbers, their bins, categories, missing values.

    The features of a row are, next to each other,

    - each number, centred, scaled and smoothly clipped to (-3, 3) by
      ``z / sqrt(1 + (z / 3)**2)`` [2]_;
    - its piecewise linear encoding [1]_, eq. 1: how far the number is through each of
      its bins, from 0 to 1 (also in the first bin and the last);
    - for each known category, whether it is the row's;
    - for columns that may miss values, whether one is missing. All other features of
      a missing value are 0, as are those of an unknown category.

    It has buffers and no parameters. `tabular_encoding` learns one from data.

    Parameters
    ----------
    number_columns : Tensor of shape (n_numbers,), dtype int64
        Which columns of x hold numbers.
    center, scale : Tensor of shape (n_numbers,), floating dtype
        A number becomes ``(x - center) * scale``, in this dtype.
    bin_numbers : Tensor of shape (n_bins,), dtype int64
        Which of the numbers each bin is of.
    bin_starts, bin_slopes : Tensor of shape (n_bins,), dtype of the features
        Where a bin begins, and one over its width, in scaled numbers.
    category_columns : Tensor of shape (n_categories,), dtype int64
    category_codes : Tensor of shape (n_categories,), floating dtype
        The column and the code of each category.
    missing_columns : Tensor of shape (n_missing,), dtype int64
        Columns that may miss values, which are NaN.

    Attributes
    ----------
    out_features : int
        Number of features.

    References
    ----------
    .. [1] Y. Gorishniy, I. Rubachev, A. Babenko. "On Embeddings for Numerical Features
       in Tabular Deep Learning", NeurIPS 2022. arXiv:2203.05556.
    .. [2] D. Holzmüller, L. Grinsztajn, I. Steinwart. "Better by Default: Strong
       Pre-Tuned MLPs and Boosted Trees on Tabular Data", NeurIPS 2024.
       arXiv:2407.04491.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.nn import TabularEncoding
    >>> encoding = TabularEncoding(
    ...     number_columns=torch.tensor([0]),
    ...     center=torch.tensor([5.0]),
    ...     scale=torch.tensor([0.5]),
    ...     bin_numbers=torch.tensor([0, 0]),
    ...     bin_starts=torch.tensor([-1.0, 0.0]),
    ...     bin_slopes=torch.tensor([1.0, 0.5]),
    ...     category_columns=torch.tensor([1, 1]),
    ...     category_codes=torch.tensor([0.0, 1.0]),
    ...     missing_columns=torch.tensor([0]),
    ... )
    >>> encoding(torch.tensor([[7.0, 1.0], [torch.nan, 2.0]]))
    tensor([[0.9487, 1.0000, 0.5000, 0.0000, 1.0000, 0.0000],
            [0.0000, 0.0000, 0.0000, 0.0000, 0.0000, 1.0000]])
    """

    number_columns: Tensor
    center: Tensor
    scale: Tensor
    bin_numbers: Tensor
    bin_starts: Tensor
    bin_slopes: Tensor
    category_columns: Tensor
    category_codes: Tensor
    missing_columns: Tensor

    def __init__(
        self,
        number_columns: Tensor,
        center: Tensor,
        scale: Tensor,
        bin_numbers: Tensor,
        bin_starts: Tensor,
        bin_slopes: Tensor,
        category_columns: Tensor,
        category_codes: Tensor,
        missing_columns: Tensor,
    ):
        super().__init__()
        self.register_buffer("number_columns", number_columns)
        self.register_buffer("center", center)
        self.register_buffer("scale", scale)
        self.register_buffer("bin_numbers", bin_numbers)
        self.register_buffer("bin_starts", bin_starts)
        self.register_buffer("bin_slopes", bin_slopes)
        self.register_buffer("category_columns", category_columns)
        self.register_buffer("category_codes", category_codes)
        self.register_buffer("missing_columns", missing_columns)

    @property
    def out_features(self) -> int:
        return sum(self._sizes().values())

    def forward(self, x: Tensor) -> Tensor:
        """Features of rows.

        Parameters
        ----------
        x : Tensor of shape (B, n_columns), floating dtype
            Numbers, codes of categories, and NaN where a value is missing.

        Returns
        -------
        features : Tensor of shape (B, out_features)
        """
        return encode(x, **dict(self.named_buffers()))

    def extra_repr(self) -> str:
        return ", ".join(f"{name}={size}" for name, size in self._sizes().items())

    def _sizes(self) -> dict[str, int]:
        return {
            "numbers": self.center.shape[0],
            "bins": self.bin_starts.shape[0],
            "categories": self.category_codes.shape[0],
            "missing": self.missing_columns.shape[0],
        }


def encode(
    x: Tensor,
    number_columns: Tensor,
    center: Tensor,
    scale: Tensor,
    bin_numbers: Tensor,
    bin_starts: Tensor,
    bin_slopes: Tensor,
    category_columns: Tensor,
    category_codes: Tensor,
    missing_columns: Tensor,
) -> Tensor:
    """Features (B, out_features) of rows (B, n_columns); see `TabularEncoding`."""
    # In the dtype of the centres: far from zero, numbers differ in their last digits.
    numbers = (x.index_select(1, number_columns) - center) * scale
    numbers = numbers.clamp(-_FAR, _FAR).to(bin_starts.dtype)
    parts = [numbers / (1 + (numbers / 3).square()).sqrt()]
    if len(bin_numbers):
        through = (numbers.index_select(1, bin_numbers) - bin_starts) * bin_slopes
        parts.append(through.clamp(0, 1))
    parts = [part.nan_to_num(0.0) for part in parts]
    if len(category_columns):
        parts.append(x.index_select(1, category_columns) == category_codes)
    if len(missing_columns):
        parts.append(x.index_select(1, missing_columns).isnan())
    return torch.cat([part.to(bin_starts.dtype) for part in parts], 1)


class VectorizedTabularEncoding(VectorizedLayer):
    """The encoding of M members, which is one and the same.

    Its result is shared, as its input is, and is computed once. The tensors are stacked
    like those of any layer: blocks of members may differ in them.

    Parameters
    ----------
    layers : sequence of TabularEncoding
        M layers of equal buffers, copied.

    Notes
    -----
    Shapes:

    - forward: (B, n_columns) to (B, out_features)
    - forward_each: n_blocks times (B, n_columns) to as many times (B, out_features)
    """

    def __init__(self, layers: Sequence[TabularEncoding]):
        first = dict(layers[0].named_buffers())
        for layer in layers[1:]:
            for name, buffer in layer.named_buffers():
                if buffer is not first[name] and not torch.equal(buffer, first[name]):
                    raise CannotVectorize("TabularEncoding that differs among members")
        super().__init__(layers)

    def forward(self, x: Tensor) -> Tensor:
        """Features of rows, by the first member's encoding."""
        return self.forward_each([x])[0]

    def forward_each(self, xs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Equally large blocks of members take an input each.

        Parameters
        ----------
        xs : sequence of n_blocks Tensors of shape (B, n_columns)
            The i-th is that of the members from ``i * M / n_blocks`` on.

        Returns
        -------
        tuple of n_blocks Tensors of shape (B, out_features)
        """
        tensors = dict(self.named_buffers())
        size = len(tensors["center"]) // len(xs)
        return tuple(
            encode(x, **{name: t[i * size] for name, t in tensors.items()})
            for i, x in enumerate(xs)
        )
