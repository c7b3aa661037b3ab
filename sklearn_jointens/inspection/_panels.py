"""Axes, lines and legends as displays share them. It needs matplotlib."""

from collections.abc import Iterable, Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.colorbar import Colorbar
from matplotlib.image import AxesImage
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, Formatter, MaxNLocator


class LamFormatter(Formatter):
    """Names evenly spaced positions by the lams that stand there.

    Parameters
    ----------
    lams : ndarray of shape (n_lams,)
        Sorted, each once.
    """

    def __init__(self, lams: np.ndarray) -> None:
        self.lams = lams

    def __call__(self, x: float, pos: int | None = None) -> str:
        # The cursor of an interactive window may be anywhere.
        nearest = np.clip(round(x), 0, len(self.lams) - 1)
        return f"{self.lams[nearest]:g}"


def make_axes(ax: Any, curves: Iterable[str]) -> dict[str, Axes]:
    """Axes of each curve.

    Parameters
    ----------
    ax : Axes, dict of str to Axes or None
        As in `LamCurveDisplay.plot`.
    curves : iterable of str
        Those there are, of "ensemble", "members", "diversity", in this order.

    Returns
    -------
    dict of str to Axes
        In the same order.
    """
    curves = list(curves)
    if ax is None:
        return _new_axes(curves)
    if isinstance(ax, Axes):
        axes = dict.fromkeys(curves, ax)
        if "diversity" in axes:
            axes["diversity"] = ax.twinx()
        return axes
    if isinstance(ax, Mapping) and "ensemble" in ax:
        return {name: ax[name] for name in curves if name in ax}
    raise ValueError(
        "The 'ax' parameter of LamCurveDisplay.plot must be an Axes of matplotlib, a "
        f"dict of them with the key 'ensemble', or None. Got {ax!r} instead."
    )


def _new_axes(curves: list[str]) -> dict[str, Axes]:
    """The ensemble above; members and diversity, if any, share the axes below."""
    rows = curves[:2]
    _, axes = plt.subplot_mosaic(
        [[name] for name in rows],
        sharex=True,
        height_ratios=(3, 2)[: len(rows)],
        layout="constrained",
    )
    if len(curves) > 2:
        axes["diversity"] = axes["members"].twinx()
    return axes


def one_axes(caller: str, ax: Any) -> Axes:
    """The axes that were given, or those of a new figure.

    Raises
    ------
    ValueError
        They are no axes of matplotlib.
    """
    if ax is None:
        return plt.subplots(layout="constrained")[1]
    if not isinstance(ax, Axes):
        raise ValueError(
            f"The 'ax' parameter of {caller} must be an Axes of matplotlib, or None. "
            f"Got {ax!r} instead."
        )
    return ax


def axes_for_image(caller: str, ax: Any, n_rows: int, n_columns: int) -> Axes:
    """The axes that were given, or those of a new figure that an image fills.

    Raises
    ------
    ValueError
        They are no axes of matplotlib.
    """
    if ax is not None:
        return one_axes(caller, ax)
    scale = min(7 / n_columns, 10 / n_rows)
    # Labels and a colour bar stand beside it.
    size = (scale * n_columns + 1.6, scale * n_rows + 0.8)
    return plt.subplots(figsize=size, layout="constrained")[1]


def colour_bar(image: AxesImage, label: str) -> Colorbar:
    """What the colours of an image mean, beside it."""
    bar = image.axes.figure.colorbar(image, ax=image.axes, fraction=0.03, pad=0.01)
    bar.set_label(label)
    bar.outline.set_visible(False)
    return bar


def set_lam_scale(
    caller: str, axes: Iterable[Axes], lams: np.ndarray, x_scale: str
) -> np.ndarray:
    """Make the x axes show lam, evenly spaced or true to scale.

    Returns
    -------
    ndarray of shape (n_lams,)
        Where each lam stands.

    Raises
    ------
    ValueError
        The axes show other lams evenly spaced.
    """
    knots, ranks = np.unique(lams, return_inverse=True)
    for each in axes:
        shown = each.xaxis.get_major_formatter()
        if isinstance(shown, LamFormatter) and (
            x_scale != "even" or not np.array_equal(shown.lams, knots)
        ):
            raise ValueError(
                f"The 'ax' parameter of {caller} must be axes that do not show other "
                f"lams evenly spaced. Got axes with {shown.lams.tolist()} for "
                f"{knots.tolist()} with x_scale={x_scale!r}. Draw both with "
                "x_scale='linear'."
            )
        if x_scale == "even":
            _space_evenly(each, knots)
    return ranks if x_scale == "even" else lams


def _space_evenly(axes: Axes, knots: np.ndarray) -> None:
    """Ticks at 0, 1, 2, ... with the lams' names, as many as there is room for."""
    formatter = LamFormatter(knots)
    longest = max(len(formatter(place)) for place in range(len(knots)))
    # matplotlib makes room for labels of some five characters.
    room = axes.xaxis.get_tick_space() * 5 // (longest + 2)
    axes.xaxis.set_major_locator(FixedLocator(range(len(knots)), nbins=max(room, 2)))
    axes.xaxis.set_major_formatter(formatter)


def count_along_x(axes: Axes) -> None:
    """Ticks at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))


def with_defaults(style: dict | None, **defaults: Any) -> dict:
    """Properties of a line; those in `style`, also abbreviated, come first."""
    return defaults | normalize_kwargs(style, Line2D)


def panels_of(axes: Iterable[Axes]) -> list[list[Axes]]:
    """The panels they take; a panel with two y axes is two axes at one place."""
    panels = {}
    for each in axes:
        place = each.get_position().bounds
        # The figure does not know of inset axes.
        known = dict.fromkeys([*each.figure.axes, each])
        panel = [other for other in known if other.get_position().bounds == place]
        panels[panel[0]] = panel
    return list(panels.values())


def draw_legend(panel: list[Axes]) -> None:
    """One legend for all axes of a panel, and room above their curves for it."""
    handles = [h for axes in panel for h in axes.get_legend_handles_labels()[0]]
    for n_columns in (2, 1):
        # Opaque, for the line at the chosen lam goes up through it.
        legend = panel[0].legend(
            handles=handles,
            loc="upper center",
            ncols=n_columns,
            framealpha=1,
            edgecolor="none",
        )
        for handle in legend.legend_handles:
            handle.set_alpha(None)  # one of many faint lines is too faint
        box = legend.get_window_extent()
        if box.width <= panel[0].bbox.width:
            break
    share = min(box.height / panel[0].bbox.height, 0.5)
    for axes in panel:
        # Limits that somebody has set stay as they are.
        if axes.get_autoscaley_on():
            axes.autoscale_view(scalex=False)
            scale = axes.yaxis.get_transform()
            low, high = scale.transform(axes.get_ylim())
            top = scale.inverted().transform(low + (high - low) / (1 - share))
            axes.set_ylim(top=top, auto=None)
