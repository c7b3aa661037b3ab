"""`MemberCurvesDisplay`: how each member learns, epoch by epoch."""

from typing import Any

import numpy as np

from sklearn_jointens._compat import StrOptions, validate_params
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._history import RecordedEpochs
from sklearn_jointens.inspection._reading import unwrapped

# Hues that differ in lightness too, and dashes for those who see neither.
_MEMBERS = {"color": "#8a96a3", "linewidth": 0.8, "zorder": 1.5}
_BEST = {"color": "#d55e00", "linestyle": "--", "linewidth": 1.6, "zorder": 2.5}
_ENSEMBLE = {"color": "#08519c", "linewidth": 2.4, "zorder": 2.4}
_EPOCH = {"color": "#404040", "linestyle": ":", "linewidth": 1.2, "zorder": 1.4}


class MemberCurvesDisplay:
    """The error or loss of each member, and of the ensemble, against the epoch.

    Where one member's curve falls and the others stay at what chance gives, that member
    dominates the ensemble, which is then little more than this one network (Fig. 6 of
    [1]_).

    Make one with :meth:`from_estimator`. All parameters are stored as attributes.

    Parameters
    ----------
    member_curves : array-like of shape (n_epochs, n_members)
        NaN where a member was not there yet.
    ensemble_curve : array-like of shape (n_epochs,), default=None
        The same of the ensemble.
    epochs : array-like of shape (n_epochs,), default=None
        Their numbers; ``None`` is 1, 2, ...
    best_epoch : int, default=None
        The one of `epochs` whose weights the members have, if it is not the last.
    curve_name : str, default=None
        Of what is drawn. ``None`` is "Loss".

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : dict of str to matplotlib Line2D
        "ensemble"; "best", the member whose curve is lowest at the best epoch; "epoch",
        which marks that epoch. Only what has been drawn.
    member_lines_ : list of matplotlib Line2D
        Of all members, in their order.
    best_member_ : int
        Index of the member that is told apart.

    See Also
    --------
    LossDecompositionDisplay : The members' mean against the ensemble.
    MemberFiltersDisplay : What each member has learned to see.

    References
    ----------
    .. [1] A. Webb et al. "To Ensemble or Not Ensemble: When does End-To-End Training
       Fail?", ECML PKDD 2020. arXiv:1902.04422.

    Examples
    --------
    >>> from sklearn_jointens.inspection import MemberCurvesDisplay
    >>> display = MemberCurvesDisplay(
    ...     member_curves=[[0.9, 0.5, 0.9], [0.9, 0.1, 0.9]],
    ...     ensemble_curve=[0.5, 0.1],
    ...     curve_name="Training error",
    ... ).plot()
    >>> display.best_member_
    1
    >>> display.lines_["ensemble"].get_ydata()
    array([0.5, 0.1])
    """

    def __init__(
        self,
        *,
        member_curves: Any,
        ensemble_curve: Any = None,
        epochs: Any = None,
        best_epoch: int | None = None,
        curve_name: str | None = None,
    ) -> None:
        self.member_curves = member_curves
        self.ensemble_curve = ensemble_curve
        self.epochs = epochs
        self.best_epoch = best_epoch
        self.curve_name = curve_name

    @classmethod
    @validate_params(
        {
            "curve": [StrOptions({"error", "loss"}), None],
            "rows": [StrOptions({"train", "valid"}), None],
        },
        prefer_skip_nested_validation=False,
    )
    def from_estimator(
        cls,
        estimator: Any,
        *,
        curve: str | None = None,
        rows: str | None = None,
        **plot_params: Any,
    ) -> "MemberCurvesDisplay":
        """Draw what a fitted ensemble has recorded of its training.

        Parameters
        ----------
        estimator : JointEnsembleClassifier or JointEnsembleRegressor
            Fitted; or a search that has refitted one, or a pipeline that ends in one of
            them.
        curve : {"error", "loss"}, default=None
            "error" is the share of rows that a member gets wrong, of several labels
            those with any wrong. The ensemble's is recorded for validation rows only.
            "loss" is that of the members' criterion. ``None`` is "error" of classes and
            labels, "loss" of numbers.
        rows : {"train", "valid"}, default=None
            Rows that are trained on, as they were at each step, or validation rows.
            ``None`` is the latter where there are any. With
            :class:`~sklearn_jointens.MemberFolds`, each member has validation rows of
            its own, and the ensemble none.
        **plot_params : dict
            `ax` and other parameters of :meth:`plot`.

        Returns
        -------
        display : MemberCurvesDisplay

        Raises
        ------
        TypeError
            `estimator` is no such ensemble.
        ValueError
            Its history has no such curves.
        NotFittedError
            It is not fitted.
        """
        reader = f"{cls.__name__}.from_estimator"
        drawing_for(reader)
        (ensemble,) = unwrapped(reader, estimator)
        history = RecordedEpochs(reader, ensemble, rows)
        accuracies = history.of_members("member_accuracies")
        if curve == "error" and accuracies is None:
            raise ValueError(
                f"The 'curve' parameter of {reader} must be 'loss' or None for "
                "numbers. Got 'error' instead."
            )
        if curve == "loss" or accuracies is None:
            name = "loss"
            members = history.of_members("member_losses")
            of_ensemble = history.of_ensemble("ensemble_loss")
        else:
            name, members = "error", 1 - accuracies
            accuracy = history.of_ensemble("acc")
            of_ensemble = None if accuracy is None else 1 - accuracy
        return cls(
            member_curves=members,
            ensemble_curve=None if history.is_out_of_fold else of_ensemble,
            epochs=history.epochs,
            best_epoch=history.best_epoch,
            curve_name=f"{history.rows_name} {name}",
        ).plot(**plot_params)

    @validate_params(
        {"y_scale": [StrOptions({"linear", "log"})]},
        prefer_skip_nested_validation=True,
    )
    def plot(
        self,
        ax: Any = None,
        *,
        y_scale: str = "linear",
        line_kw: dict | None = None,
        member_line_kw: dict | None = None,
        best_line_kw: dict | None = None,
        epoch_line_kw: dict | None = None,
    ) -> "MemberCurvesDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            ``None`` makes a new figure.
        y_scale : {"linear", "log"}, default="linear"
            "log" tells small losses apart beside large ones.
        line_kw : dict, default=None
            For ``plot`` of the ensemble's curve.
        member_line_kw : dict, default=None
            For ``plot`` of all members' curves, the lighter the more there are.
        best_line_kw : dict, default=None
            For ``plot`` of the best member's.
        epoch_line_kw : dict, default=None
            For ``axvline`` at the best epoch.

        Returns
        -------
        display : MemberCurvesDisplay
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
        epochs, members, ensemble = self._arrays()
        n_epochs, n_members = members.shape
        self.ax_ = drawing.one_axes(caller, ax)
        self.figure_ = self.ax_.figure
        self.ax_.set_yscale(y_scale)

        # A single epoch is a point, which no line shows.
        point = {"marker": "o"} if n_epochs == 1 else {}
        light = max(0.25, min(1, 12 / n_members**0.75))
        looks = _MEMBERS | point | {"alpha": light}
        style = drawing.with_defaults(member_line_kw, **looks)
        self.member_lines_ = self.ax_.plot(epochs, members, **style)
        self.member_lines_[0].set_label("Member" if n_members == 1 else "Members")
        self.lines_ = {}
        if ensemble is not None:
            looks = _ENSEMBLE | point | {"label": "Ensemble"}
            style = drawing.with_defaults(line_kw, **looks)
            (self.lines_["ensemble"],) = self.ax_.plot(epochs, ensemble, **style)
        self.best_member_ = self._best_of(epochs, members)
        if n_members > 1:
            looks = _BEST | point | {"label": f"Best member ({self.best_member_})"}
            style = drawing.with_defaults(best_line_kw, **looks)
            curve = members[:, self.best_member_]
            (self.lines_["best"],) = self.ax_.plot(epochs, curve, **style)
        if self.best_epoch is not None:
            looks = _EPOCH | {"label": f"Best epoch ({self.best_epoch})"}
            style = drawing.with_defaults(epoch_line_kw, **looks)
            self.lines_["epoch"] = self.ax_.axvline(self.best_epoch, **style)

        drawing.count_along_x(self.ax_)
        self.ax_.set_xlabel("Epoch")
        self.ax_.set_ylabel("Loss" if self.curve_name is None else self.curve_name)
        drawing.draw_legend([self.ax_])
        return self

    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Epochs and curves, once their shapes fit together."""
        members = np.asarray(self.member_curves, dtype=float)
        if members.ndim != 2 or members.size == 0:
            raise ValueError(
                "The 'member_curves' parameter of MemberCurvesDisplay must be an "
                "array of shape (n_epochs, n_members), both at least 1. Got an array "
                f"of shape {members.shape} instead."
            )
        n_epochs = len(members)
        epochs, ensemble = np.arange(1, n_epochs + 1), None
        if self.epochs is not None:
            epochs = _of_epochs("epochs", self.epochs, n_epochs)
        if self.ensemble_curve is not None:
            ensemble = _of_epochs("ensemble_curve", self.ensemble_curve, n_epochs)
        if self.best_epoch is not None and self.best_epoch not in epochs:
            raise ValueError(
                "The 'best_epoch' parameter of MemberCurvesDisplay must be one of the "
                f"epochs, {epochs.tolist()}, or None. Got {self.best_epoch!r} instead."
            )
        return epochs, members, ensemble

    def _best_of(self, epochs: np.ndarray, members: np.ndarray) -> int:
        """The member whose curve is lowest at the best epoch, or at the last."""
        at = (
            -1 if self.best_epoch is None else int((epochs == self.best_epoch).argmax())
        )
        known = np.where(np.isnan(members[at]), np.inf, members[at])
        return int(known.argmin())


def _of_epochs(name: str, given: Any, n_epochs: int) -> np.ndarray:
    values = np.asarray(given)
    if values.shape != (n_epochs,):
        raise ValueError(
            f"The '{name}' parameter of MemberCurvesDisplay must be an array of shape "
            f"(n_epochs,) with n_epochs = {n_epochs}. Got an array of shape "
            f"{values.shape} instead."
        )
    return values
