"""What a user would take instead of joint training: how long its `fit` takes.

All rivals train as many members of the same size for as many epochs, with the same
optimizer, learning rate and batches.
"""

import io
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import BaggingClassifier
from sklearn.neural_network import MLPClassifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._setting import BATCH_SIZE, Setting
from examples.benchmarks._steps import LR, MOMENTUM
from sklearn_jointens.nn import MLP

Fit = Callable[[np.ndarray, np.ndarray], Any]

# Rows that start worker processes and load libraries, for which no rival should pay.
_WARM_UP_ROWS = 500
# Rivals that take minutes a fit with more members than this are left out.
_MOST_MEMBERS = 100


def rivals(setting: Setting) -> Iterator[Figure]:
    """Time of each rival's `fit` over that of the joint ensemble's."""
    n_rows, epochs = 10_000, 5
    X, y = setting.rows(n_rows)
    fits = {"joint": setting.ensemble(epochs).fit, **_fits(setting, epochs)}
    times = interleave(
        {name: lambda fit=fit: fit(X, y) for name, fit in fits.items()},
        setting.rounds,
        setting.device,
        warm_ups={
            name: lambda fit=fit: fit(X[:_WARM_UP_ROWS], y[:_WARM_UP_ROWS])
            for name, fit in fits.items()
        },
    )
    bounds = {
        f"BaggingClassifier(skorch net, n_jobs={setting.n_jobs})": {
            64: ">= 3.5",
            16: ">= 10",
        },
        "torchensemble FusionClassifier": {64: ">= 2", 16: ">= 4"},
    }
    joint = times.pop("joint")
    for name, rival in times.items():
        bound = setting.bound(bounds.get(name, {}))
        what = f"{name}.fit / joint fit"
        yield figure("rivals", setting.subject, what, rival / joint, target=bound)


def bagging_of_skorch(
    setting: Setting, epochs: int, n_jobs: int | None = None
) -> BaggingClassifier:
    """Bagging of the very net that the joint ensemble is made of."""
    net = setting.net(epochs)
    return BaggingClassifier(net, setting.n_members, n_jobs=n_jobs, random_state=0)


def bagging_of_sklearn(
    setting: Setting, epochs: int, n_jobs: int | None = None
) -> BaggingClassifier:
    """Bagging of scikit-learn's own perceptron of the same size."""
    mlp = MLPClassifier(
        (setting.hidden,),
        solver="sgd",
        momentum=MOMENTUM,
        nesterovs_momentum=False,
        alpha=0.0,
        learning_rate_init=LR,
        batch_size=BATCH_SIZE,
        max_iter=epochs,
        n_iter_no_change=epochs,
    )
    return BaggingClassifier(mlp, setting.n_members, n_jobs=n_jobs, random_state=0)


def _fits(setting: Setting, epochs: int) -> dict[str, Fit]:
    """The rivals' `fit`, by the names that the table calls them."""
    affordable = setting.n_members <= _MOST_MEMBERS
    fits: dict[str, Fit] = {}
    for n_jobs in sorted({1, setting.n_jobs}) if affordable else ():
        bagging = bagging_of_skorch(setting, epochs, n_jobs)
        fits[f"BaggingClassifier(skorch net, n_jobs={n_jobs})"] = bagging.fit
    bagging = bagging_of_sklearn(setting, epochs, setting.n_jobs)
    name = f"BaggingClassifier(MLPClassifier, n_jobs={setting.n_jobs})"
    fits[name] = bagging.fit
    if find_spec("torchensemble") is None:
        print("rivals: torchensemble is not installed, its classifiers are left out")
    elif affordable:
        for kind in ("FusionClassifier", "VotingClassifier"):
            fits[f"torchensemble {kind}"] = _of_torchensemble(kind, setting, epochs)
    return fits


def _of_torchensemble(kind: str, setting: Setting, epochs: int) -> Fit:
    """An ensemble of torchensemble as its manual sets it up.

    Its FusionClassifier trains end-to-end (lam = 1), its VotingClassifier members one
    by one.
    """
    import torchensemble

    sizes = {
        "n_features_in": setting.data.n_features,
        "n_outputs": setting.data.n_classes,
        "hidden_layer_sizes": (setting.hidden,),
    }

    def fit(X: np.ndarray, y: np.ndarray) -> None:
        dataset = TensorDataset(torch.as_tensor(X), torch.as_tensor(y))
        # Saves it a pass over the data, in which it would count the classes.
        dataset.classes = range(setting.data.n_classes)
        loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True)
        model = getattr(torchensemble, kind)(
            estimator=MLP,
            n_estimators=setting.n_members,
            estimator_args=sizes,
            cuda=torch.device(setting.device).type == "cuda",
        )
        model.set_criterion(nn.CrossEntropyLoss())
        model.set_optimizer("SGD", lr=LR, momentum=MOMENTUM)
        with redirect_stdout(io.StringIO()):  # a line for each member and epoch
            model.fit(loader, epochs=epochs, log_interval=10**9, save_model=False)

    return fit
