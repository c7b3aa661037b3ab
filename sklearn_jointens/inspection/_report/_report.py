"""`report`: everything about a fitted ensemble on one page."""

import os
from collections.abc import Callable
from numbers import Real
from pathlib import Path
from typing import Any

from sklearn.pipeline import Pipeline

from sklearn_jointens._compat import Interval, validate_params
from sklearn_jointens.inspection._drawing import drawing_for
from sklearn_jointens.inspection._judging import SCORING
from sklearn_jointens.inspection._reading import Reading, unwrapped
from sklearn_jointens.inspection._report import (
    _about,
    _certainty,
    _members,
    _together,
    _training,
)
from sklearn_jointens.inspection._report._html import Section, facts, in_notebook, page
from sklearn_jointens.inspection._report._subject import Subject

# In their order; None where there is nothing to say.
_SECTIONS: list[Callable[[Subject], Section | None]] = [
    _about.about,
    _about.scores,
    _members.members,
    _training.learning,
    _training.dominance,
    _members.robustness,
    _together.diversity,
    _certainty.uncertainty,
    _certainty.calibrated,
    _members.pruning,
]


class Report:
    """A page about an ensemble, as :func:`report` returns it. A notebook shows it.

    Parameters
    ----------
    title : str
        Of the page.
    html : str
        The page. It loads nothing, runs no script, and opens in any browser.
    """

    def __init__(self, title: str, html: str) -> None:
        self.title = title
        self.html = html

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the page to a file.

        Parameters
        ----------
        path : str or path-like
            An existing file is replaced.
        """
        Path(path).write_text(self.html, encoding="utf-8")

    def __repr__(self) -> str:
        return f"<Report: {self.title} ({len(self.html) // 1024} KiB of HTML)>"

    def _repr_html_(self) -> str:
        return in_notebook(self.html)


@validate_params(
    {
        "scoring": SCORING,
        "max_loss": [Interval(Real, 0, None, closed="left")],
        "title": [str, None],
        "path": [str, os.PathLike, None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def report(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    scoring: Any = None,
    sample_weight: Any = None,
    X_train: Any = None,
    y_train: Any = None,
    independent: Any = None,
    max_loss: float = 0.005,
    title: str | None = None,
    path: Any = None,
    random_state: Any = 0,
) -> Report:
    """All that is seen of a fitted ensemble, on one HTML page.

    What it is; score and loss, also by class; its members, and what each gives; how
    they learned; the score with members dropped; who differs from whom; uncertainty,
    and how far it can be trusted; calibration; how many members are enough. Each with
    a picture, and a sentence that says what to look for. What an ensemble does not have
    (regressors no calibration, one member nobody to differ from) is left out.

    Parameters
    ----------
    estimator : JointEnsembleClassifier, JointEnsembleRegressor, search or Pipeline
        A fitted ensemble, a search that has refitted one, or a pipeline that ends in
        one of them.
    X : array-like or sparse matrix of shape (n_samples, ...)
        Rows that no member has learned from. Members run several times on all of them.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Their targets.
    scoring : str, callable or None, default=None
        A scorer as scikit-learn knows them; ``None`` is accuracy of a classifier, R2 of
        a regressor.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows, for what takes them.
    X_train : array-like or sparse matrix of shape (n_train, ...), default=None
        The rows that `estimator` was fitted on. With them, the page also has the signs
        of collusion that :func:`collusion_report` looks for.
    y_train : array-like of shape (n_train,) or (n_train, n_targets), default=None
        Their targets.
    independent : object, default=None
        As :func:`collusion_report` takes it: ``None`` fits an ensemble with lam = 0 to
        compare with. It needs `X_train`.
    max_loss : float, default=0.005
        How much of the score the smallest ensemble may lose, as in
        :func:`prune_members`: in the units of the score.
    title : str, default=None
        Of the page.
    path : str or path-like, default=None
        A file to write the page to, as :meth:`Report.save` does.
    random_state : int, RandomState instance or None, default=0
        Draws the members that are dropped.

    Returns
    -------
    Report

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError
        `estimator` is no ensemble.
    ValueError
        A parameter is not valid, only one of `X_train` and `y_train` is given, or
        `independent` without them; or `path` is a folder, or in none that exists.
    NotFittedError
        `estimator` is not fitted.

    See Also
    --------
    member_contributions, robustness_curve, uncertainty : The numbers by themselves.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier
    >>> from sklearn_jointens.inspection import report
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = JointEnsembleClassifier(n_estimators=4, random_state=0).fit(
    ...     X[::2], y[::2]
    ... )
    >>> page = report(clf, X[1::2], y[1::2], title="Irises")
    >>> page
    <Report: Irises (... KiB of HTML)>
    >>> page.save("irises.html")  # doctest: +SKIP
    """
    # Said before any work, as by the displays.
    drawing_for("report")
    if (X_train is None) != (y_train is None):
        raise ValueError(
            "The 'X_train' and 'y_train' parameters of report must both be given, or "
            "neither. Got one of them instead."
        )
    if X_train is None and independent is not None:
        raise ValueError(
            "The 'independent' parameter of report must be None without 'X_train' and "
            f"'y_train', which its members are compared on. Got {independent!r} "
            "instead."
        )
    if path is not None and not _can_be_file(Path(path)):
        raise ValueError(
            "The 'path' parameter of report must be a file in a folder that exists. "
            f"Got {path!r} instead."
        )
    training = None
    if X_train is not None:
        training = (unwrapped("report", estimator, X_train)[1], y_train)
    ensemble, X = unwrapped("report", estimator, X)
    reading = Reading("report", ensemble, X, y, sample_weight)
    subject = Subject(
        reading,
        X,
        scoring,
        random_state,
        training,
        independent,
        max_loss,
        " in ".join(_names(estimator)),
    )
    sections = [section for make in _SECTIONS if (section := make(subject)) is not None]
    if title is None:
        members = (
            "1 member" if reading.n_members == 1 else f"{reading.n_members} members"
        )
        title = f"{type(reading.ensemble).__name__} with {members}"
    made = Report(
        title, page(title, facts(_most_important(subject), "tiles"), sections)
    )
    if path is not None:
        made.save(path)
    return made


def _most_important(subject: Subject) -> list[tuple[str, Any]]:
    score, of_members = subject.scores
    members: list[tuple[str, Any]] = [("Members", subject.n_members)]
    effective, best = subject.effective_members, subject.ensemble.best_epoch_
    if effective is not None:
        members.append(("Effective members", float(effective[best - 1])))
    return [
        (subject.score_name, score),
        ("Best member", float(of_members[subject.best_member])),
        ("Mean member", subject.mean_score),
        ("Loss", subject.losses.ensemble_loss),
        ("Diversity", subject.losses.diversity),
        *members,
        ("lam", float(subject.ensemble.lam)),
    ]


def _can_be_file(path: Path) -> bool:
    return path.absolute().parent.is_dir() and not path.is_dir()


def _names(estimator: Any) -> list[str]:
    """Of the ensemble, and of what it is in, from the inside out."""
    own = type(estimator).__name__
    if isinstance(estimator, Pipeline):
        return [*_names(estimator[-1]), own]
    if hasattr(estimator, "best_estimator_"):
        return [*_names(estimator.best_estimator_), own]
    return [own]
