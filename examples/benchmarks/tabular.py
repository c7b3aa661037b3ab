"""What the default member costs on a table of 10,000 rows and 20 columns."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import BaggingClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier
from skorch import NeuralNetClassifier

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._table_models import joint, joint_fast
from sklearn_jointens import JointEnsembleClassifier, tabular_classifier

LAMS = [0, 0.5, 0.99, 1]
_N_EPOCHS = 5


def tabular(rounds: int, device: str) -> Iterator[Figure]:
    """Fit and predict against one wide net, and Bagging; the mission's own line.

    Parameters
    ----------
    rounds : int
    device : str
    """
    X, y = make_classification(
        20_000,
        20,
        n_informative=12,
        n_classes=5,
        n_clusters_per_class=4,
        random_state=0,
    )
    X, X_test, y, y_test = train_test_split(X, y, train_size=10_000, random_state=0)
    whole, fast = (
        make("classification", 0, 1).set_params(device=device)
        for make in (joint, joint_fast)
    )
    times = interleave(
        {"whole": lambda: whole.fit(X, y), "fast": lambda: fast.fit(X, y)},
        rounds,
        device,
        warm_ups={"whole": lambda: clone(fast).fit(X[:500], y[:500])},
    )
    subject = f"{whole.n_estimators} default"
    what = "fit, 10,000 rows x 20 columns"
    yield figure("tabular", subject, what, times["whole"], "s", "<= 30")
    ratio = times["fast"] / times["whole"]
    yield figure(
        "tabular", subject, "fit, faster setting / default", ratio, "x", "<= 0.333"
    )
    losses = [log_loss(y_test, clf.predict_proba(X_test)) for clf in (fast, whole)]
    what = "log-loss, faster setting / default"
    yield figure("tabular", subject, what, losses[0] / losses[1], "x", "<= 1.03")
    yield from _against_one_net(X, y, rounds, device)
    yield from _predictions(whole, X, y, rounds, device)
    yield from _mission(rounds)


def _against_one_net(
    X: np.ndarray, y: np.ndarray, rounds: int, device: str
) -> Iterator[Figure]:
    """Equally many epochs of one net with as many weights, by the same recipe."""
    settings: dict[str, Any] = {"max_epochs": _N_EPOCHS, "device": device}
    ensemble = JointEnsembleClassifier(tabular_classifier(**settings), random_state=0)
    first, *others = tabular_classifier().module__hidden_layer_sizes
    wide: NeuralNetClassifier = tabular_classifier(
        (ensemble.n_estimators * first, *others), **settings
    )
    times = interleave(
        {"joint": lambda: ensemble.fit(X, y), "wide": lambda: wide.fit(X, y)},
        rounds,
        device,
    )
    what = f"fit / fit of one {ensemble.n_estimators * first}-{others[0]} net, 5 epochs"
    ratio = times["joint"] / times["wide"]
    yield figure(
        "tabular", f"{ensemble.n_estimators} default", what, ratio, "x", "<= 1.3"
    )


def _predictions(
    clf: Any, X: np.ndarray, y: np.ndarray, rounds: int, device: str
) -> Iterator[Figure]:
    bagging = BaggingClassifier(
        MLPClassifier(tabular_classifier().module__hidden_layer_sizes, max_iter=2),
        clf.n_estimators,
    ).fit(X, y)
    times = interleave(
        {
            "one": lambda: clf.predict_proba(X[:1]),
            "many": lambda: clf.predict_proba(X),
            "bagging": lambda: bagging.predict_proba(X),
        },
        max(rounds, 20),
        device,
    )
    subject = f"{clf.n_estimators} default"
    what = "predict_proba, one row"
    yield figure("tabular", subject, what, 1000 * times["one"], "ms", "<= 2")
    what = "Bagging(MLPClassifier) of as many / predict_proba, 10,000 rows"
    ratio = times["bagging"] / times["many"]
    yield figure("tabular", subject, what, ratio, "x", ">= 3")


def _mission(rounds: int) -> Iterator[Figure]:
    """The search that the package is made for, as it is written."""
    X, y = load_digits(return_X_y=True)
    searches: list[Any] = []

    def search() -> None:
        grid = GridSearchCV(JointEnsembleClassifier(), {"lam": LAMS})
        searches.append(grid.fit(X, y))

    times = interleave({"search": search}, max(1, rounds // 2), warm_ups={})
    what = 'GridSearchCV(JointEnsembleClassifier(), {"lam": [0, .5, .99, 1]}) on digits'
    yield figure("tabular", "mission", what, times["search"], "s", "<= 60")
    accuracy = [100 * one.best_score_ for one in searches]
    yield figure("tabular", "mission", "its best CV accuracy", accuracy, "%")
