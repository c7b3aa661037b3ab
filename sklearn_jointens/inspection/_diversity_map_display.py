"""`DiversityMapDisplay`: which members differ from which."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from sklearn_jointens._compat import StrOptions, validate_params
from sklearn_jointens.inspection._disagreement import (
    disagreement_of,
    pairwise_disagreement,
)
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._reading import unwrapped

_NAMES = {
    "classes": "Share of rows on which two members differ",
    "numbers": "Root mean squared difference of two members",
}


class DiversityMapDisplay:
    """How far each two members differ in what they say, as a heat map.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`. All parameters are
    stored as attributes.

    Parameters
    ----------
    disagreement : ndarray of shape (n_members, n_members)
        As :func:`pairwise_disagreement` returns it.
    name : str, default=None
        Of what is drawn. ``None`` is "Disagreement".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the map is drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    im_ : matplotlib AxesImage
        The map.
    colorbar_ : matplotlib Colorbar or None
        Its scale.

    See Also
    --------
    pairwise_disagreement : The numbers.

    Examples
    --------
    >>> from sklearn_jointens.inspection import DiversityMapDisplay
    >>> says = [["ant", "bee", "bee"], ["ant", "bee", "cat"]]
    >>> DiversityMapDisplay.from_predictions(says).disagreement
    array([[0.  , 0.33],
           [0.33, 0.  ]])
    """

    def __init__(self, *, disagreement: Any, name: str | None = None) -> None:
        self.disagreement = disagreement
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, X: Any, **plot_params: Any
    ) -> "DiversityMapDisplay":
        """Draw how far the members of an ensemble differ.

        Parameters
        ----------
        estimator : object
            As :func:`pairwise_disagreement` takes it.
        X : array-like or sparse matrix of shape (n_samples, ...)
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : DiversityMapDisplay

        Raises
        ------
        TypeError
            There is no ensemble in `estimator`.
        """
        caller = f"{cls.__name__}.from_estimator"
        drawing_for(caller)
        (ensemble,) = unwrapped(caller, estimator)
        name = _NAMES["classes" if is_classifier(ensemble) else "numbers"]
        disagreement = pairwise_disagreement(estimator, X)
        return cls(disagreement=disagreement, name=name).plot(**plot_params)

    @classmethod
    @validate_params(
        {"kind": [StrOptions({"classes", "numbers"})]},
        prefer_skip_nested_validation=True,
    )
    def from_predictions(
        cls, predictions: Any, *, kind: str = "classes", **plot_params: Any
    ) -> "DiversityMapDisplay":
        """Draw how far predictions differ.

        Parameters
        ----------
        predictions : array-like of shape (n_members, n_samples) or (n_members, \
n_samples, n_targets)
            What each member says: classes or labels of any type, or numbers.
        kind : {"classes", "numbers"}, default="classes"
            Whether to count rows on which members differ, or to measure how far.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : DiversityMapDisplay

        Raises
        ------
        ValueError
            `predictions` or `kind` are not valid.
        """
        caller = f"{cls.__name__}.from_predictions"
        drawing_for(caller)
        predictions = np.asarray(predictions)
        if predictions.ndim not in (2, 3):
            raise ValueError(
                f"The 'predictions' parameter of {caller} must have the shape "
                "(n_members, n_samples) or (n_members, n_samples, n_targets). Got "
                f"{predictions.shape} instead."
            )
        if kind == "classes":
            _, codes = np.unique(predictions, return_inverse=True)
            predictions = codes.reshape(predictions.shape)
        elif predictions.dtype.kind not in "biuf" or not np.isfinite(predictions).all():
            raise ValueError(
                f"The 'predictions' parameter of {caller} must hold finite numbers "
                f"with kind='numbers'. Got {predictions!r} instead."
            )
        disagreement = disagreement_of(predictions, kind == "classes")
        return cls(disagreement=disagreement, name=_NAMES[kind]).plot(**plot_params)

    def plot(
        self, ax: Any = None, *, colorbar: bool = True, im_kw: dict | None = None
    ) -> "DiversityMapDisplay":
        """Draw the map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            ``None`` makes a new figure.
        colorbar : bool, default=True
            Whether to draw its scale.
        im_kw : dict, default=None
            For ``imshow``: ``vmin`` and ``vmax``, say, to compare ensembles.

        Returns
        -------
        display : DiversityMapDisplay
            Itself.

        Raises
        ------
        ImportError
            matplotlib is not installed.
        """
        caller = f"{type(self).__name__}.plot"
        drawing = drawing_for(caller)
        self.ax_ = drawing.one_axes(caller, ax)
        self.figure_ = self.ax_.figure
        style = {"vmin": 0, "cmap": "viridis", "interpolation": "nearest"}
        self.im_ = self.ax_.imshow(self.disagreement, **style | (im_kw or {}))
        name = "Disagreement" if self.name is None else self.name
        self.colorbar_ = None
        if colorbar:
            self.colorbar_ = drawing.colour_bar(self.im_, name)
        self.ax_.set(xlabel="Member", ylabel="Member")
        for axis in (self.ax_.xaxis, self.ax_.yaxis):
            axis.get_major_locator().set_params(integer=True)
        return self
