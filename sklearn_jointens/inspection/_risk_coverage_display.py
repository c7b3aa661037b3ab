"""`RiskCoverageDisplay`: error among the most certain rows."""

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from torch import Tensor

from sklearn_jointens._compat import StrOptions, validate_params
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._reading import Reading
from sklearn_jointens.inspection._risk_coverage import risk_coverage_curve
from sklearn_jointens.inspection._uncertainty import measures_of

_CHANCE = "Random order"


class RiskCoverageDisplay:
    """How far a measure of uncertainty can be trusted: risk against coverage.

    Make one with :meth:`from_estimator` or :meth:`from_predictions`. All parameters are
    stored as attributes.

    Parameters
    ----------
    coverage : ndarray of shape (n_points,)
        Shares of rows, the most certain first.
    risk : ndarray of shape (n_points,)
        Their mean loss.
    area : float, default=None
        Under the curve, for the legend.
    name : str, default=None
        Of the measure, for the legend.
    risk_name : str, default=None
        Of what is lost. ``None`` is "Risk".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the curve is drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    line_ : matplotlib Line2D
        The curve.
    chance_level_ : matplotlib Line2D or None
        The risk of rows in random order, with ``plot_chance_level=True``.

    See Also
    --------
    risk_coverage_curve : The numbers.
    uncertainty : The measures.

    Examples
    --------
    >>> from sklearn_jointens.inspection import RiskCoverageDisplay
    >>> is_wrong, entropy = [False, True, False, True], [0.1, 0.3, 0.2, 0.9]
    >>> display = RiskCoverageDisplay.from_predictions(
    ...     is_wrong, entropy, name="Entropy"
    ... )
    >>> display.line_.get_label()
    'Entropy (area = 0.208)'
    """

    def __init__(
        self,
        *,
        coverage: Any,
        risk: Any,
        area: float | None = None,
        name: str | None = None,
        risk_name: str | None = None,
    ) -> None:
        self.coverage = coverage
        self.risk = risk
        self.area = area
        self.name = name
        self.risk_name = risk_name

    @classmethod
    @validate_params(
        {"risk": [StrOptions({"error", "loss"})]}, prefer_skip_nested_validation=True
    )
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        measure: Any = None,
        risk: str = "error",
        name: str | None = None,
        **plot_params: Any,
    ) -> "RiskCoverageDisplay":
        """Draw what an ensemble gets wrong of the rows that it is most sure of.

        Parameters
        ----------
        estimator : object
            As :func:`uncertainty` takes it.
        X : array-like or sparse matrix of shape (n_samples, ...)
            Rows that no member has learned from.
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
            Their targets.
        measure : str or array-like of shape (n_samples,), default=None
            One of those that :func:`uncertainty` returns (its mean over several labels
            or targets), or any other that is higher where a row is less certain.
            ``None`` is "ensemble_entropy" of classes, and of numbers "total_variance",
            or "variance_between" where the members learn no variance.
        risk : {"error", "loss"}, default="error"
            What is lost. "error" is 1 for a wrong row of classes (of several labels,
            where one of them is wrong), and of numbers the squared error in y's own
            units; "loss" is the criterion's loss of the ensemble.
        name : str, default=None
            Of the measure; ``None`` is that of `measure`.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : RiskCoverageDisplay

        Raises
        ------
        TypeError
            There is no ensemble in `estimator`.
        ValueError
            There is no such measure, or it has another length than y.
        """
        caller = f"{cls.__name__}.from_estimator"
        drawing_for(caller)
        reading = Reading(caller, estimator, X, y)
        if measure is None or isinstance(measure, str):
            measure, values = _measured(caller, reading, measure)
            name = measure.replace("_", " ").capitalize() if name is None else name
        else:
            values = measure
        losses, risk_name = risks_of(reading, risk)
        return cls.from_predictions(
            losses, values, name=name, risk_name=risk_name, **plot_params
        )

    @classmethod
    def from_predictions(
        cls,
        losses: Any,
        uncertainty: Any,
        *,
        name: str | None = None,
        risk_name: str | None = None,
        **plot_params: Any,
    ) -> "RiskCoverageDisplay":
        """Draw what rows lose, against how uncertain they are.

        Parameters
        ----------
        losses : array-like of shape (n_samples,)
            Whether each row is wrong, or what it loses.
        uncertainty : array-like of shape (n_samples,)
            Higher is less certain.
        name : str, default=None
            Of the measure of uncertainty.
        risk_name : str, default=None
            Of what is lost.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : RiskCoverageDisplay
        """
        drawing_for(f"{cls.__name__}.from_predictions")
        curve = risk_coverage_curve(losses, uncertainty)
        return cls(**curve, name=name, risk_name=risk_name).plot(**plot_params)

    def plot(
        self,
        ax: Any = None,
        *,
        name: str | None = None,
        plot_chance_level: bool = False,
        chance_level_kw: dict | None = None,
        **line_kw: Any,
    ) -> "RiskCoverageDisplay":
        """Draw the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            ``None`` makes a new figure.
        name : str, default=None
            Of the measure; ``None`` is the `name` of the display.
        plot_chance_level : bool, default=False
            Whether to draw the risk of rows in random order.
        chance_level_kw : dict, default=None
            For ``plot`` of that.
        **line_kw : dict
            For ``plot`` of the curve.

        Returns
        -------
        display : RiskCoverageDisplay
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
        style = drawing.with_defaults(line_kw, label=self._label(name))
        (self.line_,) = self.ax_.plot(self.coverage, self.risk, **style)
        self.chance_level_ = None
        if plot_chance_level:
            known = self.ax_.get_legend_handles_labels()[1]
            label = "_nolegend_" if _CHANCE in known else _CHANCE
            style = drawing.with_defaults(
                chance_level_kw, label=label, color="k", linestyle="--"
            )
            level = self.risk[-1]
            (self.chance_level_,) = self.ax_.plot([0, 1], [level, level], **style)
        risk_name = "Risk" if self.risk_name is None else self.risk_name
        self.ax_.set(
            xlabel="Coverage (share of rows, the most certain first)",
            ylabel=f"{risk_name} of the rows covered",
            xlim=(0, 1),
        )
        # A risk is seen beside no risk.
        self.ax_.update_datalim([(0, 0)])
        drawing.draw_legend([self.ax_])
        return self

    def _label(self, name: str | None) -> str:
        name = self.name if name is None else name
        area = None if self.area is None else f"area = {self.area:.3g}"
        if name is None:
            return "Ensemble" if area is None else area.capitalize()
        return name if area is None else f"{name} ({area})"


def _measured(
    caller: str, reading: Reading, measure: str | None
) -> tuple[str, np.ndarray]:
    """Name and values (n_samples,) of a measure of uncertainty."""
    known = {
        name: values
        for name, values in measures_of(reading).items()
        if values is not None and name != "member_divergence"
    }
    if measure is None:
        defaults = ("ensemble_entropy", "total_variance", "variance_between")
        measure = next(name for name in defaults if name in known)
    if measure not in known:
        raise ValueError(
            f"The 'measure' parameter of {caller} must be one of {list(known)} for "
            f"this ensemble, an array, or None. Got {measure!r} instead."
        )
    values = known[measure]
    return measure, values.reshape(len(values), -1).mean(axis=1)


def risks_of(reading: Reading, risk: str = "error") -> tuple[np.ndarray, str]:
    """What each row loses (n_samples,), and what that is called."""
    if risk == "loss":
        of_chunk, name = _loss, "Loss"
    elif is_classifier(reading.ensemble):
        of_chunk, name = _is_wrong, "Error rate"
    else:
        of_chunk, name = _squared_error, "Mean squared error"
    losses = np.empty(reading.n_rows)
    for rows, natural in reading.chunks():
        losses[rows] = of_chunk(reading, rows, natural.mean(0))
    return losses, name


def _loss(reading: Reading, rows: slice, ensemble: Tensor) -> Any:
    return reading.losses(ensemble[None], rows).losses[0]


def _is_wrong(reading: Reading, rows: slice, ensemble: Tensor) -> Any:
    assert reading.encoded is not None
    return ~reading.family.correct(ensemble[None], reading.encoded[rows])[0]


def _squared_error(reading: Reading, rows: slice, ensemble: Tensor) -> Any:
    assert reading.y is not None
    predicted = reading.targets.decode(reading.family.predicted(ensemble).numpy())
    squares = (predicted - reading.y[rows]) ** 2
    return squares.reshape(len(squares), -1).mean(axis=1)
