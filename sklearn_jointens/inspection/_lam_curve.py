"""`LamCurveDisplay`: score, members' score and diversity against lam."""

from typing import Any

import numpy as np

from sklearn_jointens._compat import StrOptions, validate_params
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._search_results import read_search

# The parameter that holds each curve, and what the curve looks like: hues that differ
# in lightness too, and dashes and markers for those who see neither.
_PARAMETERS = {
    "ensemble": "scores",
    "members": "member_scores",
    "diversity": "diversities",
}
_LOOKS: dict[str, dict[str, Any]] = {
    "ensemble": {"label": "Ensemble", "marker": "o"},
    "members": {
        "label": "Mean member",
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
}


class LamCurveDisplay:
    """How the score of an ensemble, its members' and its diversity depend on lam.

    Make one with :meth:`from_estimator` from a fitted search. All parameters are stored
    as attributes. A score that is not finite (a fit that failed) leaves a gap at its
    lam.

    Parameters
    ----------
    lams : array-like of shape (n_lams,)
        Values of lam, in any order.
    scores : array-like of shape (n_lams, n_splits)
        The ensemble's score on each test set.
    member_scores : array-like of shape (n_lams, n_splits), default=None
        Mean score of its members, by the same metric.
    diversities : array-like of shape (n_lams, n_splits), default=None
        Mean member loss less ensemble loss: of classes, in nats.
    lam : float, default=None
        The chosen one of `lams`.
    score_name : str, default=None
        Name of the metric, as scikit-learn has it (``"neg_log_loss"``) or as it is to
        be read. ``None`` is "Score".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where the ensemble's score is drawn.
    axes_ : dict of str to matplotlib Axes
        Where each curve is drawn: "ensemble", "members", "diversity". A further
        display drawn with ``ax=display.axes_`` adds its curves to these.
    figure_ : matplotlib Figure
        The figure of `ax_`.
    lines_ : dict of str to matplotlib Line2D
        Means over splits: "ensemble", "members", "diversity"; and "lam", which marks
        the chosen lam on `ax_`. Only what has been drawn.
    fill_between_ : matplotlib PolyCollection or None
        The spread of the ensemble's score, with ``std_display_style="fill_between"``.
    errorbar_ : matplotlib ErrorbarContainer or None
        The same, with ``std_display_style="errorbar"``.

    See Also
    --------
    sklearn_jointens.JointEnsembleClassifierCV : Finds the scores of all lams.
    sklearn.model_selection.ValidationCurveDisplay : Scores against any parameter.

    Examples
    --------
    >>> from sklearn_jointens.inspection import LamCurveDisplay
    >>> display = LamCurveDisplay(
    ...     lams=[0, 0.9, 1],
    ...     scores=[[-0.41, -0.39], [-0.14, -0.12], [-0.16, -0.16]],
    ...     member_scores=[[-1.0, -1.2], [-1.4, -1.6], [-11.0, -13.0]],
    ...     lam=0.9,
    ...     score_name="neg_log_loss",
    ... )
    >>> display = display.plot(negate_score=True)
    >>> display.ax_.get_ylabel()
    'Log loss'
    >>> display.lines_["ensemble"].get_ydata()
    array([0.4 , 0.13, 0.16])
    """

    def __init__(
        self,
        *,
        lams: Any,
        scores: Any,
        member_scores: Any = None,
        diversities: Any = None,
        lam: float | None = None,
        score_name: str | None = None,
    ) -> None:
        self.lams = lams
        self.scores = scores
        self.member_scores = member_scores
        self.diversities = diversities
        self.lam = lam
        self.score_name = score_name

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        *,
        metric: str | None = None,
        score_name: str | None = None,
        **plot_params: Any,
    ) -> "LamCurveDisplay":
        """Draw what a fitted search over lam has found.

        Parameters
        ----------
        search : JointEnsembleClassifierCV, GridSearchCV or RandomizedSearchCV
            A fitted search. Those of scikit-learn must have searched lam alone, also
            as ``pipeline_step__lam``; of them there is the ensemble's score only.
        metric : str, default=None
            Which metric of a search that has several; ``None`` is that of `refit`. The
            lam that is marked is the one that the search has chosen.
        score_name : str, default=None
            Name of the metric; ``None`` takes it from the search.
        **plot_params : dict
            `ax`, `negate_score` and other parameters of :meth:`plot`.

        Returns
        -------
        display : LamCurveDisplay

        Raises
        ------
        TypeError
            `search` is no such search.
        ValueError
            It has searched more than lam, or has no such metric.
        NotFittedError
            It is not fitted.
        """
        # Said before any work, as scikit-learn's displays do.
        drawing_for(f"{cls.__name__}.from_estimator")
        results = read_search(search, metric)._asdict()
        if score_name is not None:
            results["score_name"] = score_name
        return cls(**results).plot(**plot_params)

    @validate_params(
        {
            "negate_score": ["boolean"],
            "std_display_style": [StrOptions({"errorbar", "fill_between"}), None],
            "x_scale": [StrOptions({"even", "linear"})],
        },
        prefer_skip_nested_validation=True,
    )
    def plot(
        self,
        ax: Any = None,
        *,
        negate_score: bool = False,
        score_name: str | None = None,
        std_display_style: str | None = "fill_between",
        x_scale: str = "even",
        line_kw: dict | None = None,
        fill_between_kw: dict | None = None,
        errorbar_kw: dict | None = None,
        member_line_kw: dict | None = None,
        diversity_line_kw: dict | None = None,
        lam_line_kw: dict | None = None,
    ) -> "LamCurveDisplay":
        """Draw the curves.

        Parameters
        ----------
        ax : matplotlib Axes or dict of str to matplotlib Axes, default=None
            One Axes takes all curves, with the diversity on a second y axis. A dict,
            such as ``plt.subplot_mosaic`` makes, says where to draw "ensemble",
            "members" and "diversity"; those that are not in it are left out. ``None``
            makes a new figure with the ensemble above its members and diversity, whose
            much larger range would flatten its curve.
        negate_score : bool, default=False
            Whether to negate scores, for scikit-learn's ``neg_...`` metrics.
        score_name : str, default=None
            Name of the metric; ``None`` is the `score_name` of the display.
        std_display_style : {"fill_between", "errorbar"} or None, default="fill_between"
            How to draw the standard deviation over splits of the ensemble's score.
        x_scale : {"even", "linear"}, default="even"
            "even" gives each lam the same room, in their order, because lams crowd near
            1, where the curve bends. "linear" is true to scale.
        line_kw : dict, default=None
            For ``plot`` of the ensemble's mean score.
        fill_between_kw : dict, default=None
            For ``fill_between``.
        errorbar_kw : dict, default=None
            For ``errorbar``.
        member_line_kw : dict, default=None
            For ``plot`` of the members' mean score.
        diversity_line_kw : dict, default=None
            For ``plot`` of the diversity.
        lam_line_kw : dict, default=None
            For ``axvline`` at the chosen lam.

        Returns
        -------
        display : LamCurveDisplay
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
        lams, curves = self._sorted_by_lam(negate_score)
        self.axes_ = drawing.make_axes(ax, curves)
        self.ax_ = self.axes_["ensemble"]
        self.figure_ = self.ax_.figure
        panels = drawing.panels_of(self.axes_.values())
        x = drawing.set_lam_scale(caller, self.axes_.values(), lams, x_scale)

        styles = {
            "ensemble": line_kw,
            "members": member_line_kw,
            "diversity": diversity_line_kw,
        }
        self.lines_ = {}
        for name, axes in self.axes_.items():
            style = drawing.with_defaults(styles[name], **_LOOKS[name])
            if name == "members":
                # The hue tells ensembles apart, the dashes what is drawn of them.
                style.setdefault("color", self.lines_["ensemble"].get_color())
            (self.lines_[name],) = axes.plot(x, curves[name].mean(axis=1), **style)
        self._draw_spread(
            x, curves["ensemble"], std_display_style, fill_between_kw, errorbar_kw
        )
        if self.lam is not None:
            style = drawing.with_defaults(
                lam_line_kw,
                label=f"Chosen: lam = {self.lam:g}",
                color=self.lines_["ensemble"].get_color(),
                linestyle=":",
            )
            self._mark_lam(x[lams == self.lam][0], panels, style)

        name = self.score_name if score_name is None else score_name
        self._name_axes(_label("score" if name is None else name, negate_score))
        for panel in panels:
            drawing.draw_legend(panel)
        return self

    def _sorted_by_lam(self, negate: bool) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Lams and, by curve, values of shape (n_lams, n_splits); NaN for a gap."""
        lams = np.asarray(self.lams)
        if self.lam is not None and self.lam not in lams:
            raise ValueError(
                "The 'lam' parameter of LamCurveDisplay must be one of 'lams', "
                f"{lams.tolist()}, or None. Got {self.lam!r} instead."
            )
        order = np.argsort(lams, kind="stable")
        curves = {}
        for curve, parameter in _PARAMETERS.items():
            given = getattr(self, parameter)
            if given is None and curve != "ensemble":
                continue
            values = np.asarray(given, dtype=float)
            if values.ndim != 2 or len(values) != len(lams):
                raise ValueError(
                    f"The '{parameter}' parameter of LamCurveDisplay must be an array "
                    f"of shape (n_lams, n_splits) with n_lams = {len(lams)}. Got an "
                    f"array of shape {values.shape} instead."
                )
            sign = -1 if negate and curve != "diversity" else 1
            values = np.where(np.isfinite(values), sign * values, np.nan)
            curves[curve] = values[order]
        return lams[order], curves

    def _draw_spread(
        self,
        x: np.ndarray,
        scores: np.ndarray,
        std_display_style: str | None,
        fill_between_kw: dict | None,
        errorbar_kw: dict | None,
    ) -> None:
        mean, std = scores.mean(axis=1), scores.std(axis=1)
        colour = self.lines_["ensemble"].get_color()
        self.fill_between_ = self.errorbar_ = None
        if std_display_style == "fill_between":
            style = {"color": colour, "alpha": 0.2} | (fill_between_kw or {})
            self.fill_between_ = self.ax_.fill_between(
                x, mean - std, mean + std, **style
            )
        elif std_display_style == "errorbar":
            style = {"ecolor": colour, "capsize": 3} | (errorbar_kw or {})
            style["fmt"] = "none"  # the line is there already
            self.errorbar_ = self.ax_.errorbar(x, mean, std, **style)

    def _mark_lam(self, place: float, panels: list[list[Any]], style: dict) -> None:
        self.lines_["lam"] = self.ax_.axvline(place, **style)
        # Also beside the other curves; the legend names it once.
        for panel in panels:
            if self.ax_ not in panel:
                panel[0].axvline(place, **style | {"label": None})

    def _name_axes(self, score_label: str) -> None:
        for name, axes in self.axes_.items():
            # Of panels that share their x axis, the lowest names it.
            if axes.get_xticklabels():
                axes.set_xlabel("lam (0: independent, 1: end-to-end)")
            if name == "diversity":
                colour = self.lines_[name].get_color()
                axes.set_ylabel("Diversity", color=colour)
                axes.tick_params(axis="y", labelcolor=colour)
            else:
                axes.set_ylabel(score_label)


def _label(name: str, negate: bool) -> str:
    """What to write on the axis for a metric, or its negative."""
    if name.startswith("neg_"):
        name = name.removeprefix("neg_")
        negate = not negate
    text = ("negative " if negate else "") + name.replace("_", " ")
    return text[:1].upper() + text[1:]
