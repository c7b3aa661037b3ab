"""What a search over lam is asked for, what comes of it, and which lam it chooses."""

import warnings
from numbers import Integral
from typing import Any

import numpy as np
from scipy import stats
from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, check_cv
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import process_routing

from sklearn_jointens._compat import (
    _routing_enabled,
    _safe_indexing,
    _warn_or_raise_about_fit_failures,
)
from sklearn_jointens._search._evaluation import (
    fill_in_failures,
    metrics_in,
    only,
    takes_weight,
)
from sklearn_jointens._search._grid import Split

_MAX_SEED = np.iinfo(np.int32).max


def check_lams(search: Any) -> np.ndarray:
    """The candidates, float of shape (n_lams,)."""
    name = f"The 'lams' parameter of {type(search).__name__}"
    try:
        lams = np.asarray(search.lams)
    except ValueError:  # of sequences of different lengths
        lams = np.empty((0, 0))
    are_numbers = lams.ndim == 1 and lams.dtype.kind in "biuf" and len(lams) > 0
    if not are_numbers or not ((lams >= 0) & (lams <= 1)).all():
        raise ValueError(
            f"{name} must be a sequence of at least one float in the range [0.0, 1.0]. "
            f"Got {search.lams!r} instead."
        )
    if len(np.unique(lams)) < len(lams):
        raise ValueError(
            f"{name} must hold no value twice. Got {search.lams!r} instead."
        )
    return lams.astype(float)


def check_refit(search: Any, metrics: list[str] | None = None) -> None:
    """Raise unless it is clear what to choose by.

    Parameters
    ----------
    search : JointEnsembleSearch
    metrics : list of str or None, default=None
        Names of several; None is those that `scoring` names, if it does.
    """
    if metrics is None and isinstance(search.scoring, list | tuple | set | dict):
        metrics = list(search.scoring)
    refit, name = search.refit, f"The 'refit' parameter of {type(search).__name__}"
    if callable(refit) or refit is False:
        return
    if metrics is None:
        # What a callable returns is not known before.
        is_one = search.scoring is None or isinstance(search.scoring, str)
        if is_one and isinstance(refit, str) and refit != search.scoring:
            raise ValueError(
                f"{name} must be True, False or a callable when 'scoring' is one "
                f"metric. Got {refit!r} instead."
            )
    elif refit not in metrics:
        raise ValueError(
            f"{name} must be one of the metrics {sorted(metrics)}, a callable or False "
            f"when 'scoring' names its metrics. Got {refit!r} instead."
        )


def routed(
    search: Any, scorer: Any, sample_weight: Any, params: dict[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What of the arguments of `fit` the splitter and the scorer are given."""
    if _routing_enabled():
        given = process_routing(search, "fit", sample_weight=sample_weight, **params)
        return given.splitter.split, given.scorer.score
    unknown = sorted(set(params) - {"groups"})
    if unknown:
        raise TypeError(
            f"{type(search).__name__}.fit takes further parameters than 'groups' with "
            f"metadata routing only. Got {unknown} instead."
        )
    is_used = sample_weight is not None and takes_weight(scorer)
    return params, {"sample_weight": sample_weight} if is_used else {}


def splits_of(search: Any, X: Any, y: Any, params: dict[str, Any]) -> list[Split]:
    """Folds of all repeats, each repeat with a seed of its own.

    Parameters
    ----------
    search : JointEnsembleSearch
    X, y : array-like of n_samples rows
    params : dict
        Further arguments of the splitter.

    Returns
    -------
    list of Split
        Repeat by repeat.
    """
    folds = list(
        check_cv(search.cv, y, classifier=is_classifier(search)).split(X, y, **params)
    )
    if not folds:
        raise ValueError(
            f"The 'cv' parameter of {type(search).__name__} must give at least one "
            "split. Got none instead."
        )
    seed = search.random_state
    if seed is None:
        seed = int(np.random.SeedSequence().generate_state(1)[0]) % _MAX_SEED
    elif isinstance(seed, np.random.RandomState):
        seed = seed.randint(_MAX_SEED)
    more = check_random_state(seed).randint(_MAX_SEED, size=search.n_repeats - 1)
    # Splitters of a user's own may give masks, or count from the end.
    rows = np.arange(len(y))
    return [
        Split(_safe_indexing(rows, train), _safe_indexing(rows, test), int(of_repeat))
        for of_repeat in (seed, *more)
        for train, test in folds
    ]


def cv_results(
    search: Any, ensemble: Any, noted: list[dict[str, Any]]
) -> tuple[dict[str, Any], list[str]]:
    """Results with every key that scikit-learn's searches have.

    Parameters
    ----------
    search : JointEnsembleSearch
    ensemble : joint ensemble
    noted : list of dict
        Of all splits of a lam, lam by lam, as `LamEvaluation` notes them.

    Returns
    -------
    results : dict
    metrics : list of str
        Those that were asked for.
    """
    _warn_or_raise_about_fit_failures(noted, search.error_score)
    fill_in_failures(noted, search.error_score)
    lams = search.lams_.tolist()
    maker = GridSearchCV(
        ensemble,
        {"lam": lams},
        scoring=search.scoring,
        return_train_score=search.return_train_score,
    )
    candidates = [{"lam": lam} for lam in lams]
    metrics = metrics_in(noted)
    with warnings.catch_warnings():
        # That a figure of the members is not known is no failure.
        warnings.simplefilter("ignore")
        results = maker._format_results(candidates, search.n_splits_, noted)
    asked = [only(metrics, one) for one in noted]
    results.update(maker._format_results(candidates, search.n_splits_, asked))
    return results, metrics


def best_index(search: Any, metric: Any) -> int:
    """Where the chosen lam stands.

    Parameters
    ----------
    search : JointEnsembleSearch
        With its results.
    metric : str or callable
        What to choose by, unless `refit` is a callable.

    Returns
    -------
    int
    """
    results, lams = search.cv_results_, search.lams_
    if callable(search.refit):
        index = search.refit(results)
        if not isinstance(index, Integral) or not 0 <= index < len(lams):
            raise ValueError(
                f"The 'refit' parameter of {type(search).__name__} must return an "
                f"index of 'lams', 0 to {len(lams) - 1}, when it is a callable. "
                f"Got {index!r} instead."
            )
        return int(index)
    best = int(results[f"rank_test_{metric}"].argmin())
    if search.selection == "best" or search.n_splits_ < 2:
        return best
    means = results[f"mean_test_{metric}"]
    scores = [results[f"split{i}_test_{metric}"][best] for i in range(search.n_splits_)]
    near = np.flatnonzero(means >= means[best] - stats.sem(scores))
    return int(near[lams[near].argmin()]) if len(near) else best
