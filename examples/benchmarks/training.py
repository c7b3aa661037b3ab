"""What joint training costs: a step, a whole fit, and the part of it that is not steps.

What it costs beside what it replaces is in `rivals.py`.
"""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor

from examples.benchmarks._measure import Figure, figure, interleave, seconds
from examples.benchmarks._setting import Setting, shuffled_batches
from examples.benchmarks._steps import (
    captured,
    first_products,
    joint_step,
    loop_step,
    single_step,
    time_steps,
)
from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
from sklearn_jointens.training import JointNet


def step(setting: Setting) -> Iterator[Figure]:
    """One step of all members against that of a wide network, a loop, and vmap."""
    batches, vectorized = setting.batches(), setting.vectorized()
    steps = {
        "joint": joint_step(vectorized),
        "wide": single_step(setting.wide()),
        "loop": loop_step(setting.modules()),
        "vmap": joint_step(setting.vectorized("vmap")),
        "products": first_products(setting.n_units, batches[0]),
    }
    times = time_steps(steps, batches, 3 * setting.rounds, setting.device)
    joint = f"joint step ({vectorized.method})"
    on_cuda = torch.device(setting.device).type == "cuda"
    of_wide = {} if on_cuda else {4: "<= 1.2", 16: "<= 1.1", 64: "<= 1.1"}
    bounds = {
        "wide": setting.bound(of_wide),
        "loop": setting.bound({64: "<= 0.5"}),
    }
    names = {
        "wide": f"step of one {setting.n_units}-unit net",
        "loop": "loop over plain members",
        "vmap": "torch.func.vmap",
    }
    for rival, name in names.items():
        ratio = times["joint"] / times[rival]
        what, bound = f"{joint} / {name}", bounds.get(rival, "")
        yield figure("step", setting.subject, what, ratio, target=bound)
    for key, name in (("joint", joint), ("wide", names["wide"])):
        what = f"{name} / the two matrix products of the first layer alone"
        yield figure("step", setting.subject, what, times[key] / times["products"])
    if on_cuda:
        graphs = {key: captured(steps[key], batches[0]) for key in ("joint", "wide")}
        times = time_steps(graphs, batches, 3 * setting.rounds, setting.device)
        ratio = times["joint"] / times["wide"]
        what = f"{joint} / {names['wide']}, both as CUDA graphs"
        yield figure("step", setting.subject, what, ratio, target="<= 1.5")
        for key, name in (("joint", joint), ("wide", names["wide"])):
            what = f"{name}, as a CUDA graph"
            yield figure("step", setting.subject, what, 1e3 * times[key], "ms")


def fit(setting: Setting) -> Iterator[Figure]:
    """A whole `fit` against a bare loop over the same module, and against one net."""
    of_classes = setting.data.task == "classification"
    question = "fit" if of_classes else "fit_regression"
    n_rows, epochs = 12_000, 10
    ensemble, module = setting.ensemble(epochs), setting.vectorized()
    wide = setting.net(epochs, setting.n_units)

    def bare(X: Tensor, y: Tensor) -> None:
        one = joint_step(module, family=setting.family)
        for _ in range(epochs):
            for batch in shuffled_batches(X, y):
                one(*batch)

    def tasks(n_rows: int) -> dict[str, Callable[[], Any]]:
        (X, y), tensors = setting.rows(n_rows), setting.tensors(n_rows)
        # skorch wants numbers as a column.
        as_skorch_has_it = y if of_classes else y[:, None]
        return {
            "fit": lambda: ensemble.fit(X, y),
            "bare": lambda: bare(*tensors),
            "wide": lambda: wide.fit(X, as_skorch_has_it),
        }

    times = interleave(tasks(n_rows), setting.rounds, setting.device, tasks(500))
    joint, size = type(ensemble).__name__, f"{n_rows:,} rows, {epochs} epochs"
    what = f"{joint}.fit / bare loop, {size}"
    ratio = times["fit"] / times["bare"]
    yield figure(question, setting.subject, what, ratio, target="<= 1.1")
    what = f"{joint}.fit / fit of one {setting.n_units}-unit skorch net, {size}"
    ratio, bound = times["fit"] / times["wide"], "" if of_classes else "<= 1.15"
    yield figure(question, setting.subject, what, ratio, target=bound)


def fit_regression(setting: Setting) -> Iterator[Figure]:
    """The same of numbers."""
    yield from fit(setting.of_numbers())


def overhead(rounds: int, device: str) -> Iterator[Figure]:
    """The share of a small fit that is spent outside the training loop.

    That is: checking the input, building members, vectorizing and checking them,
    splitting them again and scoring them.
    """
    n_members, epochs = 10, 10
    X, y = load_digits(return_X_y=True)
    member = mlp_classifier(max_epochs=epochs, device=device)
    ensemble = JointEnsembleClassifier(member, n_members, random_state=0)
    ensemble.fit(X, y)
    fit_loop, loops = JointNet.fit_loop, []

    def timed(net: Any, *args: Any, **params: Any) -> Any:
        loops.append(seconds(lambda: fit_loop(net, *args, **params), device))
        return net

    with patch.object(JointNet, "fit_loop", timed):
        whole = [seconds(lambda: ensemble.fit(X, y), device) for _ in range(3 * rounds)]
    share = 100 * (1 - np.array(loops) / np.array(whole))
    what = f"digits, {epochs} epochs: share of fit outside the training loop"
    subject = f"{n_members} mlp"
    yield figure("overhead", subject, what, share, "%", "<= 15")
    yield figure("overhead", subject, "the whole fit", 1e3 * np.array(whole), "ms")
