"""The package's own line against the Bagging it replaces, on digits."""

import time
from collections.abc import Iterator
from functools import partial

from sklearn.datasets import load_digits
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from examples.benchmarks._measure import Figure, figure, seconds
from sklearn_jointens import (
    JointEnsembleClassifier,
    JointEnsembleClassifierCV,
    mlp_classifier,
)

LAMS = [0, 0.5, 0.99, 1]


def mission(n_jobs: int, rounds: int) -> Iterator[Figure]:
    """A search over lam, and one Bagging of as many members, width and epochs.

    Both on the same five folds. The time of the search is that of its 20 fits and the
    refit, each by itself or as programs; the time of Bagging that of its 5 fits.
    """
    X, y = load_digits(return_X_y=True)
    member = mlp_classifier()
    mlp = MLPClassifier(
        member.module__hidden_layer_sizes,
        learning_rate_init=member.lr,
        batch_size=member.batch_size,
        max_iter=member.max_epochs,
        n_iter_no_change=member.max_epochs,
        alpha=0.0,
    )
    grid = {"jointensembleclassifier__lam": LAMS}
    for name, steps in (("alone", ()), ("scaled", (StandardScaler(),))):
        best, points, whole, one, programs = [], [], [], [], []
        for seed in range(rounds):
            joint = make_pipeline(
                *steps, JointEnsembleClassifier(member, 10, random_state=seed)
            )
            search = GridSearchCV(joint, grid, cv=5, n_jobs=n_jobs)
            bagging = make_pipeline(*steps, BaggingClassifier(mlp, random_state=seed))
            start = time.perf_counter()
            best.append(100 * search.fit(X, y).best_score_)
            between = time.perf_counter()
            scores = cross_val_score(bagging, X, y, cv=5, n_jobs=n_jobs)
            end = time.perf_counter()
            points.append(best[-1] - 100 * scores.mean())
            whole.append((end - between) / (between - start))
            one.append(whole[-1] * (5 * len(LAMS) + 1) / 5)
            together = make_pipeline(
                *steps,
                JointEnsembleClassifierCV(
                    member, 10, LAMS, n_jobs=n_jobs, random_state=seed
                ),
            )
            took = seconds(partial(together.fit, X, y))
            programs.append((end - between) / took)
        yield figure("mission", name, "best CV accuracy of the search", best, "%")
        what = "the same, above BaggingClassifier(MLPClassifier)"
        yield figure("mission", name, what, points, "points", ">= -0.5")
        what = "time of Bagging's 5 fits / of the search's 21"
        yield figure("mission", name, what, whole, target=">= 1")
        what = "time of Bagging's 5 fits / of JointEnsembleClassifierCV's 21"
        yield figure("mission", name, what, programs, target=">= 1")
        yield figure("mission", name, "time of a Bagging fit / of a joint fit", one)
