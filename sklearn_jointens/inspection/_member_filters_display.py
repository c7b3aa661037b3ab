"""`MemberFiltersDisplay`: what each member's first layer looks for."""

from numbers import Integral, Real
from typing import Any

import numpy as np

from sklearn_jointens._compat import Interval, validate_params
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._first_layer import first_layer_filters
from sklearn_jointens.inspection._reading import unwrapped

# A page has no room for more.
_MOST_MEMBERS = 16

# No shade of grey.
_BETWEEN = (0.74, 0.83, 0.92)


class MemberFiltersDisplay:
    """First-layer weights of the members as images: a row of filters for each member.

    All share one scale, on which a weight of 0 is grey. A member that has hardly moved
    from its small random weights stays an even grey; one that has learned shows strokes
    and edges. Where only one row does, this member dominates (Fig. 5 of [1]_).

    Make one with :meth:`from_estimator`. All parameters are stored as attributes.

    Parameters
    ----------
    filters : array-like of shape (n_members, n_filters, n_channels, height, width)
        With three channels, red, green and blue, a filter is one image in colour;
        otherwise each channel is an image of its own.
    members : array-like of shape (n_members,), default=None
        What to call them. ``None`` is 0, 1, ...
    layer : str, default=None
        Name of the layer that has them. ``None`` is the first.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
        The figure of `ax_`.
    image_ : matplotlib AxesImage
        All filters, with a light blue line of pixels between them.
    colorbar_ : matplotlib Colorbar or None
        None for filters in colour.

    See Also
    --------
    MemberCurvesDisplay : How each member learns.

    References
    ----------
    .. [1] A. Webb et al. "To Ensemble or Not Ensemble: When does End-To-End Training
       Fail?", ECML PKDD 2020. arXiv:1902.04422.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_jointens.inspection import MemberFiltersDisplay
    >>> filters = np.random.RandomState(0).normal(size=(3, 8, 1, 5, 5))
    >>> display = MemberFiltersDisplay(filters=filters).plot()
    >>> display.ax_.get_ylabel()
    'Member'
    """

    def __init__(
        self, *, filters: Any, members: Any = None, layer: str | None = None
    ) -> None:
        self.filters = filters
        self.members = members
        self.layer = layer

    @classmethod
    @validate_params(
        {"n_filters": [Interval(Integral, 1, None, closed="left"), None]},
        prefer_skip_nested_validation=False,
    )
    def from_estimator(
        cls,
        estimator: Any,
        *,
        layer: str | None = None,
        image_shape: tuple[int, ...] | None = None,
        members: Any = None,
        n_filters: int | None = 16,
        **plot_params: Any,
    ) -> "MemberFiltersDisplay":
        """Draw the first layer of a fitted ensemble's members.

        Parameters
        ----------
        estimator : JointEnsembleClassifier or JointEnsembleRegressor
            Fitted; or a search that has refitted one, or a pipeline that ends in one of
            them.
        layer : str, default=None
            Name of a ``Linear`` or ``Conv2d`` layer in the member's module, as
            ``named_modules`` has it. ``None`` is the first layer.
        image_shape : tuple of int, default=None
            (height, width) or (channels, height, width) of the rows that a linear layer
            takes.
        members : array-like of int or bool, default=None
            Indices or mask of the members to draw. ``None`` is all; of more than 16,
            those with the largest weights, among which is one that dominates.
        n_filters : int, default=16
            The first so many of each member. ``None`` is all.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : MemberFiltersDisplay

        Raises
        ------
        TypeError
            `estimator` is no such ensemble, or the layer neither linear nor a
            convolution of images.
        ValueError
            There is no such layer or member, or the rows are no such images.
        NotFittedError
            It is not fitted.
        """
        caller = f"{cls.__name__}.from_estimator"
        drawing_for(caller)
        (ensemble,) = unwrapped(caller, estimator)
        modules = [member.module_ for member in ensemble.estimators_]
        shown = None if members is None else _chosen(caller, ensemble, members)
        filters = first_layer_filters(caller, modules, layer, image_shape)
        if shown is None:
            sizes = np.square(filters).mean(axis=(1, 2, 3, 4))
            shown = np.sort(np.argsort(-sizes, kind="stable")[:_MOST_MEMBERS])
        return cls(filters=filters[shown, :n_filters], members=shown, layer=layer).plot(
            **plot_params
        )

    @validate_params(
        {"limit": [Interval(Real, 0, None, closed="neither"), None]},
        prefer_skip_nested_validation=True,
    )
    def plot(
        self, ax: Any = None, *, cmap: str = "gray", limit: float | None = None
    ) -> "MemberFiltersDisplay":
        """Draw the filters.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            ``None`` makes a new figure.
        cmap : str or matplotlib Colormap, default="gray"
            For filters that are not in colour.
        limit : float, default=None
            Weights of this size and above are white, or black if negative. ``None`` is
            the size that one weight in 200 exceeds.

        Returns
        -------
        display : MemberFiltersDisplay
            Itself.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        ValueError
            A parameter, or the shape of an array, is not valid.
        """
        caller = f"{type(self).__name__}.plot"
        drawing = drawing_for(caller)
        tiles, members = self._tiles()
        n_members, _, height, _ = tiles.shape[:4]
        if limit is None:
            limit = float(np.quantile(np.abs(tiles), 0.995)) or 1.0
        mosaic = _side_by_side(tiles)
        self.ax_ = drawing.axes_for_image(caller, ax, *mosaic.shape[:2])
        self.figure_ = self.ax_.figure
        in_colour = mosaic.ndim == 3
        if in_colour:
            colours = ((mosaic / limit + 1) / 2).clip(0, 1)
            mosaic = np.where(np.isnan(colours), _BETWEEN, colours)
        self.image_ = self.ax_.imshow(
            mosaic, cmap=cmap, vmin=-limit, vmax=limit, interpolation="nearest"
        )
        self.image_.set_cmap(self.image_.cmap.with_extremes(bad=_BETWEEN))
        self.colorbar_ = None
        if not in_colour:
            self.colorbar_ = drawing.colour_bar(self.image_, "Weight")
        middles = (height - 1) / 2 + (height + 1) * np.arange(n_members)
        self.ax_.set_yticks(middles, [str(member) for member in members])
        self.ax_.set_xticks([])
        self.ax_.tick_params(length=0)
        self.ax_.spines[:].set_visible(False)
        self.ax_.set_ylabel("Member")
        layer = "the first layer" if self.layer is None else f"layer {self.layer!r}"
        self.ax_.set_xlabel(f"Filters of {layer}")
        return self

    def _tiles(self) -> tuple[np.ndarray, np.ndarray]:
        """Images, (n_members, n_tiles, height, width[, 3]), and the members' names."""
        filters = np.asarray(self.filters, dtype=float)
        if filters.ndim != 5 or not filters.size:
            raise ValueError(
                "The 'filters' parameter of MemberFiltersDisplay must be an array of "
                "shape (n_members, n_filters, n_channels, height, width), not empty. "
                f"Got an array of shape {filters.shape} instead."
            )
        members = np.arange(len(filters)) if self.members is None else self.members
        if len(members) != len(filters):
            raise ValueError(
                "The 'members' parameter of MemberFiltersDisplay must name each of "
                f"the {len(filters)} members of 'filters'. Got {len(members)} names "
                "instead."
            )
        n_members, _, n_channels, height, width = filters.shape
        if n_channels == 3:
            return np.moveaxis(filters, 2, -1), members
        return filters.reshape(n_members, -1, height, width), members


def _chosen(caller: str, ensemble: Any, members: Any) -> np.ndarray:
    try:
        return ensemble._some_members_at(members)
    except ValueError as error:
        raise ValueError(
            f"The 'members' parameter of {caller} must be indices or a mask of the "
            f"{len(ensemble.estimators_)} members, at least of one. Got {members!r} "
            "instead."
        ) from error


def _side_by_side(tiles: np.ndarray) -> np.ndarray:
    """One image of all, members from top to bottom, with NaN between the tiles."""
    n_members, n_tiles, height, width, *channels = tiles.shape
    framed = np.full((n_members, n_tiles, height + 1, width + 1, *channels), np.nan)
    framed[:, :, :height, :width] = tiles
    rows = framed.swapaxes(1, 2).reshape(
        n_members * (height + 1), n_tiles * (width + 1), *channels
    )
    return rows[:-1, :-1]
