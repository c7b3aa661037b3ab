"""`RobustnessCurveDisplay`: the score against how many members are dropped."""

from typing import Any

import numpy as np

from sklearn_jointens._compat import StrOptions, validate_params
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._lam_curve import _label
from sklearn_jointens.inspection._reading import unwrapped
from sklearn_jointens.inspection._robustness import robustness_curve


class RobustnessCurveDisplay:
    """How the score of an ensemble falls when members are dropped at random.

    Make one with :meth:`from_estimator`, or with :meth:`from_curve` of what
    `robustness_curve` has returned. All parameters are stored as attributes. Several
    displays may share axes: one ensemble in each.

    Parameters
    ----------
    scores : array-like of shape (n_points, n_repeats)
    n_dropped : array-like of shape (n_points,), default=None
        How many members were dropped.
    n_members : int, default=None
        How many there are; needed with `n_dropped` to draw shares.
    drop_probability : array-like of shape (n_points,), default=None
        Instead of `n_dropped`: the probability with which each member was dropped.
    score_name : str, default=None
        Name of the metric, as scikit-learn has it. ``None`` is "Score".
    name : str, default=None
        Of the ensemble, for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        Means over repeats.
    fill_between_ : matplotlib PolyCollection or None
        One standard deviation over repeats to each side.

    See Also
    --------
    robustness_curve : Finds the scores.

    Examples
    --------
    >>> from sklearn_jointens.inspection import RobustnessCurveDisplay
    >>> display = RobustnessCurveDisplay(
    ...     scores=[[0.9, 0.9], [0.8, 0.7], [0.5, 0.4]],
    ...     n_dropped=[0, 5, 9],
    ...     n_members=10,
    ...     score_name="accuracy",
    ... ).plot(name="lam = 1")
    >>> display.line_.get_xdata()
    array([0. , 0.5, 0.9])
    >>> display.ax_.get_ylabel()
    'Accuracy'
    """

    def __init__(
        self,
        *,
        scores: Any,
        n_dropped: Any = None,
        n_members: int | None = None,
        drop_probability: Any = None,
        score_name: str | None = None,
        name: str | None = None,
    ) -> None:
        self.scores = scores
        self.n_dropped = n_dropped
        self.n_members = n_members
        self.drop_probability = drop_probability
        self.score_name = score_name
        self.name = name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        n_dropped: Any = None,
        drop_probability: Any = None,
        n_repeats: int = 20,
        subset: str = "row",
        scoring: Any = None,
        sample_weight: Any = None,
        random_state: Any = None,
        name: str | None = None,
        **plot_params: Any,
    ) -> "RobustnessCurveDisplay":
        """Find the curve of a fitted ensemble, and draw it.

        Parameters
        ----------
        estimator : JointEnsembleClassifier, JointEnsembleRegressor, search or Pipeline
            As `robustness_curve` takes it.
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        n_dropped : int or array-like of int, default=None
            As in `robustness_curve`, and so are the next six.
        drop_probability : float or array-like of float in [0, 1), default=None
        n_repeats : int, default=20
        subset : {"row", "batch"}, default="row"
        scoring : str, callable or None, default=None
        sample_weight : array-like of shape (n_samples,), default=None
        random_state : int, RandomState instance or None, default=None
        name : str, default=None
            Of the ensemble, for the legend. ``None`` says its lam.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : RobustnessCurveDisplay

        Raises
        ------
        ImportError
            matplotlib is not installed.
        TypeError
            `estimator` is no ensemble.
        ValueError
            A parameter is not valid.
        NotFittedError
            `estimator` is not fitted.
        """
        # Said before any work, as scikit-learn's displays do.
        drawing_for(f"{cls.__name__}.from_estimator")
        curve = robustness_curve(
            estimator,
            X,
            y,
            n_dropped=n_dropped,
            drop_probability=drop_probability,
            n_repeats=n_repeats,
            subset=subset,
            scoring=scoring,
            sample_weight=sample_weight,
            random_state=random_state,
        )
        if name is None:
            (ensemble,) = unwrapped(cls.__name__, estimator)
            name = f"lam = {ensemble.lam:g}"
        return cls.from_curve(curve, name=name, **plot_params)

    @classmethod
    def from_curve(
        cls, curve: Any, *, name: str | None = None, **plot_params: Any
    ) -> "RobustnessCurveDisplay":
        """Draw a curve that is known.

        Parameters
        ----------
        curve : Bunch
            As `robustness_curve` returns it.
        name : str, default=None
            Of the ensemble, for the legend.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : RobustnessCurveDisplay
        """
        return cls(
            scores=curve.scores,
            n_dropped=curve.get("n_dropped"),
            n_members=curve.n_members,
            drop_probability=curve.get("drop_probability"),
            score_name=curve.score_name,
            name=name,
        ).plot(**plot_params)

    @validate_params(
        {
            "x_axis": [StrOptions({"number", "share"})],
            "negate_score": ["boolean"],
            "std_display_style": [StrOptions({"fill_between"}), None],
        },
        prefer_skip_nested_validation=True,
    )
    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        x_axis: str = "share",
        negate_score: bool = False,
        score_name: str | None = None,
        std_display_style: str | None = "fill_between",
        fill_between_kw: dict | None = None,
        **kwargs: Any,
    ) -> "RobustnessCurveDisplay":
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            ``None`` makes a new figure.
        name : str, default=None
            Of the ensemble, for the legend; ``None`` is the `name` of the display.
            Without any there is no legend.
        x_axis : {"share", "number"}, default="share"
            What `n_dropped` is drawn as: a share of the members, by which ensembles of
            several sizes can be compared, or a number of them.
        negate_score : bool, default=False
            Whether to negate scores, for scikit-learn's ``neg_...`` metrics.
        score_name : str, default=None
            Name of the metric; ``None`` is the `score_name` of the display.
        std_display_style : {"fill_between"} or None, default="fill_between"
            How to draw the standard deviation over repeats.
        fill_between_kw : dict, default=None
            For ``fill_between``.
        **kwargs : dict
            For ``plot`` of the means.

        Returns
        -------
        display : RobustnessCurveDisplay
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
        x, x_label = self._x(x_axis)
        scores = self._scores(len(x), negate_score)
        self.ax_ = drawing.one_axes(caller, ax)
        self.figure_ = self.ax_.figure

        name = self.name if name is None else name
        style = drawing.with_defaults(kwargs, label=name, marker=".")
        mean, std = scores.mean(axis=1), scores.std(axis=1)
        (self.line_,) = self.ax_.plot(x, mean, **style)
        self.fill_between_ = None
        if std_display_style is not None:
            band = {"color": self.line_.get_color(), "alpha": 0.2, "linewidth": 0}
            self.fill_between_ = self.ax_.fill_between(
                x, mean - std, mean + std, **band | (fill_between_kw or {})
            )
        score_name = self.score_name if score_name is None else score_name
        label = _label("score" if score_name is None else score_name, negate_score)
        self.ax_.set(xlabel=x_label, ylabel=label)
        if self.ax_.get_legend_handles_labels()[0]:
            self.ax_.legend(loc="best")
        return self

    def _x(self, x_axis: str) -> tuple[np.ndarray, str]:
        """Where the points stand, and what of."""
        if (self.n_dropped is None) == (self.drop_probability is None):
            raise ValueError(
                "Exactly one of the 'n_dropped' and 'drop_probability' parameters of "
                f"RobustnessCurveDisplay must be given. Got {self.n_dropped!r} and "
                f"{self.drop_probability!r} instead."
            )
        if self.n_dropped is None:
            return np.asarray(self.drop_probability), "Probability to drop a member"
        n_dropped = np.asarray(self.n_dropped)
        if x_axis == "number":
            return n_dropped, "Number of members dropped"
        if self.n_members is None:
            raise ValueError(
                "The 'n_members' parameter of RobustnessCurveDisplay must be an int "
                "with x_axis='share'. Got None instead."
            )
        return n_dropped / self.n_members, "Share of members dropped"

    def _scores(self, n_points: int, negate: bool) -> np.ndarray:
        scores = np.asarray(self.scores, dtype=float)
        if scores.ndim != 2 or len(scores) != n_points:
            raise ValueError(
                "The 'scores' parameter of RobustnessCurveDisplay must be an array of "
                f"shape (n_points, n_repeats) with n_points = {n_points}. Got an array "
                f"of shape {scores.shape} instead."
            )
        return -scores if negate else scores
