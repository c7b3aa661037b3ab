"""`LossDecompositionDisplay`: ensemble loss, mean member loss, and what is between."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from sklearn_jointens._compat import StrOptions, validate_params
from sklearn_jointens.inspection._decomposition import diversity_decomposition
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._history import RecordedEpochs
from sklearn_jointens.inspection._reading import unwrapped

# Hues that differ in lightness too, and dashes and markers for those who see neither.
_LOOKS: dict[str, dict[str, Any]] = {
    "members": {
        "label": "Mean member",
        "color": "#3787c0",
        "linestyle": "--",
        "marker": "s",
        "markerfacecolor": "white",
    },
    "diversity": {
        "label": "Diversity",
        "color": "#8c2d04",
        "linestyle": "-.",
        "marker": "^",
    },
    "ensemble": {"color": "#08519c", "linewidth": 2.2, "marker": "o"},
}
_EPOCH = {"color": "#404040", "linestyle": ":", "linewidth": 1.2}
_X_LABELS = {"lam": "lam (0: independent, 1: end-to-end)", "epoch": "Epoch"}
# More markers than these run into one another.
_MOST_MARKERS = 20


class LossDecompositionDisplay:
    """The ensemble's loss, its members' mean loss and their difference, the diversity.

    Ensemble loss = mean member loss - diversity, exactly (eq. 5 of [1]_). Near lam = 1
    the members get worse and the ensemble does not: they lean on each other, and what
    they lose is booked as diversity (Fig. 9 of [1]_).

    Make one with :meth:`from_estimator` from the history of an ensemble, or with
    :meth:`from_estimators` from several with different lam. All parameters are stored
    as attributes.

    Parameters
    ----------
    x : array-like of shape (n_points,)
        Values of lam, in any order, or numbers of epochs.
    ensemble_loss : array-like of shape (n_points,)
    member_loss : array-like of shape (n_points,)
        Mean over members.
    x_name : {"lam", "epoch"}, default="lam"
        What `x` holds.
    best_epoch : int, default=None
        The epoch whose weights the members have, if it is not the last.
    loss_name : str, default=None
        Of the loss. ``None`` is "Loss".
    ensemble_name : str, default="Ensemble"
        For the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : dict of str to matplotlib Line2D
        "members", "diversity" and "ensemble"; and "epoch", which marks the best epoch,
        if there is one.
    fill_between_ : matplotlib PolyCollection
        Between the ensemble and its mean member.

    See Also
    --------
    LamCurveDisplay : The same of a search, by its own metric.
    MemberCurvesDisplay : Each member by itself.

    References
    ----------
    .. [1] A. Webb et al. "To Ensemble or Not Ensemble: When does End-To-End Training
       Fail?", ECML PKDD 2020. arXiv:1902.04422.

    Examples
    --------
    >>> from sklearn_jointens.inspection import LossDecompositionDisplay
    >>> display = LossDecompositionDisplay(
    ...     x=[0, 0.9, 1], ensemble_loss=[0.4, 0.2, 0.2], member_loss=[0.6, 0.9, 7.0]
    ... ).plot(y_scale="log")
    >>> display.lines_["diversity"].get_ydata()
    array([0.2, 0.7, 6.8])
    """

    def __init__(
        self,
        *,
        x: Any,
        ensemble_loss: Any,
        member_loss: Any,
        x_name: str = "lam",
        best_epoch: int | None = None,
        loss_name: str | None = None,
        ensemble_name: str = "Ensemble",
    ) -> None:
        self.x = x
        self.ensemble_loss = ensemble_loss
        self.member_loss = member_loss
        self.x_name = x_name
        self.best_epoch = best_epoch
        self.loss_name = loss_name
        self.ensemble_name = ensemble_name

    @classmethod
    @validate_params(
        {"rows": [StrOptions({"train", "valid"}), None]},
        prefer_skip_nested_validation=False,
    )
    def from_estimator(
        cls, estimator: Any, *, rows: str | None = None, **plot_params: Any
    ) -> "LossDecompositionDisplay":
        """Draw the history of a fitted ensemble, epoch by epoch.

        Parameters
        ----------
        estimator : JointEnsembleClassifier or JointEnsembleRegressor
            Fitted; or a search that has refitted one, or a pipeline that ends in one of
            them.
        rows : {"train", "valid"}, default=None
            Rows that are trained on, as they were at each step, or validation rows.
            ``None`` is the latter where there are any, unless they are those of
            :class:`~sklearn_jointens.MemberFolds`: there a row's ensemble is of the few
            members that have not seen it.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : LossDecompositionDisplay

        Raises
        ------
        TypeError
            `estimator` is no such ensemble.
        ValueError
            Its history has no such losses.
        NotFittedError
            It is not fitted.
        """
        reader = f"{cls.__name__}.from_estimator"
        drawing_for(reader)
        (ensemble,) = unwrapped(reader, estimator)
        history = RecordedEpochs(reader, ensemble, rows)
        if rows is None and history.is_out_of_fold:
            history = RecordedEpochs(reader, ensemble, "train")
        return cls(
            x=history.epochs,
            ensemble_loss=history.of_ensemble("ensemble_loss"),
            member_loss=history.of_ensemble("member_loss"),
            x_name="epoch",
            best_epoch=history.best_epoch,
            loss_name=f"{history.rows_name} loss",
            ensemble_name=(
                "Ensemble (out of fold)" if history.is_out_of_fold else "Ensemble"
            ),
        ).plot(**plot_params)

    @classmethod
    def from_estimators(
        cls,
        estimators: Iterable[Any],
        X: Any,
        y: Any,
        *,
        sample_weight: Any = None,
        **plot_params: Any,
    ) -> "LossDecompositionDisplay":
        """Draw what several fitted ensembles lose on the same rows, against their lam.

        Parameters
        ----------
        estimators : iterable of JointEnsembleClassifier or JointEnsembleRegressor
            Fitted, each with a lam of its own; or searches or pipelines with such.
        X : array-like or sparse matrix of shape (n_samples, ...)
        y : array-like of shape (n_samples,) or (n_samples, n_targets)
        sample_weight : array-like of shape (n_samples,), default=None
            Weights of the rows.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : LossDecompositionDisplay

        Raises
        ------
        TypeError
            `estimators` are not several, or one of them is no such ensemble.
        ValueError
            There are none.
        NotFittedError
            One of them is not fitted.
        """
        reader = f"{cls.__name__}.from_estimators"
        drawing_for(reader)
        if not isinstance(estimators, Iterable) or isinstance(estimators, Pipeline):
            raise TypeError(
                f"The 'estimators' parameter of {reader} must be several ensembles, in "
                f"a list for example. Got {estimators!r} instead."
            )
        estimators = list(estimators)
        if not estimators:
            raise ValueError(
                f"The 'estimators' parameter of {reader} must hold at least one "
                f"ensemble. Got {estimators!r} instead."
            )
        parts = [
            diversity_decomposition(each, X, y, sample_weight=sample_weight)
            for each in estimators
        ]
        return cls(
            x=[unwrapped(reader, each)[0].lam for each in estimators],
            ensemble_loss=[each.ensemble_loss for each in parts],
            member_loss=[each.member_loss for each in parts],
        ).plot(**plot_params)

    @validate_params(
        {
            "x_scale": [StrOptions({"even", "linear"})],
            "y_scale": [StrOptions({"linear", "log"})],
        },
        prefer_skip_nested_validation=True,
    )
    def plot(
        self,
        ax: Any = None,
        *,
        x_scale: str = "even",
        y_scale: str = "linear",
        line_kw: dict | None = None,
        member_line_kw: dict | None = None,
        diversity_line_kw: dict | None = None,
        fill_between_kw: dict | None = None,
        epoch_line_kw: dict | None = None,
    ) -> "LossDecompositionDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            ``None`` makes a new figure.
        x_scale : {"even", "linear"}, default="even"
            "even" gives each lam the same room, in their order, because lams crowd near
            1, where the curve bends. "linear" is true to scale, as epochs always are.
        y_scale : {"linear", "log"}, default="linear"
            "log" keeps small losses readable beside those of members that have
            exploded. It leaves a gap where a loss or the diversity is not above 0.
        line_kw : dict, default=None
            For ``plot`` of the ensemble's loss.
        member_line_kw : dict, default=None
            For ``plot`` of the members' mean loss.
        diversity_line_kw : dict, default=None
            For ``plot`` of the diversity.
        fill_between_kw : dict, default=None
            For ``fill_between`` ensemble and members.
        epoch_line_kw : dict, default=None
            For ``axvline`` at the best epoch.

        Returns
        -------
        display : LossDecompositionDisplay
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
        x, curves = self._sorted_curves()
        self.ax_ = drawing.one_axes(caller, ax)
        self.figure_ = self.ax_.figure
        if self.x_name == "lam":
            x = drawing.set_lam_scale(caller, [self.ax_], x, x_scale)
        else:
            drawing.count_along_x(self.ax_)
        self.ax_.set_yscale(
            y_scale, **({"nonpositive": "mask"} if y_scale == "log" else {})
        )

        given = {
            "members": member_line_kw,
            "diversity": diversity_line_kw,
            "ensemble": line_kw,
        }
        self.lines_ = {}
        spared = {"marker": "None"} if len(x) > _MOST_MARKERS else {}
        for name, looks in _LOOKS.items():
            looks = {"label": self.ensemble_name} | looks | spared
            style = drawing.with_defaults(given[name], **looks)
            (self.lines_[name],) = self.ax_.plot(x, curves[name], **style)
        style = {"color": self.lines_["diversity"].get_color(), "alpha": 0.1}
        style |= {"linewidth": 0} | (fill_between_kw or {})
        self.fill_between_ = self.ax_.fill_between(
            x, curves["ensemble"], curves["members"], **style
        )
        if self.best_epoch is not None:
            looks = _EPOCH | {"label": f"Best epoch ({self.best_epoch})"}
            style = drawing.with_defaults(epoch_line_kw, **looks)
            self.lines_["epoch"] = self.ax_.axvline(self.best_epoch, **style)

        self.ax_.set_xlabel(_X_LABELS[self.x_name])
        self.ax_.set_ylabel("Loss" if self.loss_name is None else self.loss_name)
        drawing.draw_legend([self.ax_])
        return self

    def _sorted_curves(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Points from left to right, and the three losses there."""
        if self.x_name not in _X_LABELS:
            raise ValueError(
                "The 'x_name' parameter of LossDecompositionDisplay must be one of "
                f"{list(_X_LABELS)}. Got {self.x_name!r} instead."
            )
        x = np.asarray(self.x)
        curves = {}
        for name, parameter in (
            ("ensemble", "ensemble_loss"),
            ("members", "member_loss"),
        ):
            values = np.asarray(getattr(self, parameter), dtype=float)
            if x.ndim != 1 or values.shape != x.shape or not x.size:
                raise ValueError(
                    f"The '{parameter}' parameter of LossDecompositionDisplay must be "
                    "an array with a loss for each of 'x', which is 1-D and not empty. "
                    f"Got arrays of shapes {values.shape} and {x.shape} instead."
                )
            curves[name] = values[np.argsort(x, kind="stable")]
        curves["diversity"] = curves["members"] - curves["ensemble"]
        return np.sort(x), curves
