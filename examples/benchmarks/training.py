"""What joint training costs: beside one wide network, and beside what it replaces."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from sklearn.ensemble import BaggingClassifier
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from examples.benchmarks._measure import Figure, figure, interleave
from examples.benchmarks._setting import (
    BATCH_SIZE,
    LR,
    MOMENTUM,
    Setting,
    joint_step,
    sgd,
    shuffled_batches,
)
from sklearn_jointens.nn import MLP

WIDE = 1024


def step(setting: Setting) -> Iterator[Figure]:
    """One step of all members against one step of a wide network."""
    n_steps = 40
    X, y = setting.tensors(n_steps * BATCH_SIZE)
    batches = list(zip(X.split(BATCH_SIZE), y.split(BATCH_SIZE), strict=True))
    joint = setting.vectorized()
    wide = nn.Sequential(
        nn.Linear(X.shape[1], WIDE), nn.ReLU(), nn.Linear(WIDE, setting.data.n_classes)
    ).to(setting.device)
    joint_sgd, wide_sgd = sgd(joint), sgd(wide)

    def one_joint(X: torch.Tensor, y: torch.Tensor) -> None:
        joint_step(joint, joint_sgd, X, y)

    def one_wide(X: torch.Tensor, y: torch.Tensor) -> None:
        wide_sgd.zero_grad()
        nn.functional.cross_entropy(wide(X), y).backward()
        wide_sgd.step()

    def over_batches(one: Callable[..., None]) -> Callable[[], None]:
        def run() -> None:
            for X, y in batches:
                one(X, y)

        return run

    tasks = {"joint": over_batches(one_joint), "wide": over_batches(one_wide)}
    times = interleave(tasks, 3 * setting.rounds, setting.device)
    bound = 1.2 if setting.hidden < 16 else 1.1
    yield figure(
        "step",
        setting.subject,
        f"joint step / step of one {WIDE}-unit net",
        times["joint"] / times["wide"],
        target=f"<= {bound}",
    )
    if torch.device(setting.device).type == "cuda":
        tasks = {
            "joint": _captured(one_joint, batches[0], n_steps),
            "wide": _captured(one_wide, batches[0], n_steps),
        }
        times = interleave(tasks, 3 * setting.rounds, setting.device)
        yield figure(
            "step",
            setting.subject,
            "the same, both as CUDA graphs",
            times["joint"] / times["wide"],
            target="<= 1.5",
        )


def _captured(one: Callable[..., None], batch: Any, n_steps: int) -> Callable[[], None]:
    """A step as a CUDA graph, replayed `n_steps` times."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            one(*batch)
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        one(*batch)

    def run() -> None:
        for _ in range(n_steps):
            graph.replay()

    return run


def fit(setting: Setting) -> Iterator[Figure]:
    """A whole `fit` against a bare loop over the same vectorized module."""
    n_rows, epochs = 12_000, 10
    rows, tensors = setting.rows(n_rows), setting.tensors(n_rows)
    ensemble, module = setting.ensemble(epochs), setting.vectorized()

    def bare() -> None:
        optimizer = sgd(module)
        for _ in range(epochs):
            for batch in shuffled_batches(*tensors):
                joint_step(module, optimizer, *batch)

    tasks = {"fit": lambda: ensemble.fit(*rows), "bare": bare}
    times = interleave(tasks, setting.rounds, setting.device)
    yield figure(
        "fit",
        setting.subject,
        f"JointEnsembleClassifier.fit / bare loop, {n_rows} rows, {epochs} epochs",
        times["fit"] / times["bare"],
        target="<= 1.1",
    )


def rivals(setting: Setting) -> Iterator[Figure]:
    """What a user would take instead, over the joint ensemble's `fit`."""
    n_rows, epochs = 20_000, 3
    X, y = setting.rows(n_rows)
    ensemble = setting.ensemble(epochs)
    bagging = BaggingClassifier(
        setting.net(epochs), setting.n_members, n_jobs=setting.n_jobs
    )
    tasks = {
        "joint": lambda: ensemble.fit(X, y),
        "bagging": lambda: bagging.fit(X, y),
    }
    fusion = _fusion(setting, n_rows, epochs)
    if fusion is None:
        print("rivals: torchensemble is not installed, its FusionClassifier is skipped")
    else:
        tasks["fusion"] = fusion
    times = interleave(tasks, setting.rounds, setting.device)
    bound = {64: ">= 3.5", 16: ">= 10"}.get(setting.hidden, "")
    what = f"BaggingClassifier(skorch net, n_jobs={setting.n_jobs}).fit / joint fit"
    ratio = times["bagging"] / times["joint"]
    yield figure("rivals", setting.subject, what, ratio, target=bound)
    if fusion is not None:
        bound = {64: ">= 2", 16: ">= 4"}.get(setting.hidden, "")
        what = "torchensemble FusionClassifier.fit / joint fit"
        ratio = times["fusion"] / times["joint"]
        yield figure("rivals", setting.subject, what, ratio, target=bound)


def _fusion(setting: Setting, n_rows: int, epochs: int) -> Callable[[], Any] | None:
    """torchensemble's end-to-end ensemble (lam = 1), as its manual sets it up."""
    try:
        from torchensemble import FusionClassifier
    except ImportError:
        return None
    X, y = map(torch.as_tensor, setting.rows(n_rows))
    dataset = TensorDataset(X, y)
    # Saves it a pass over the data, in which it would count the classes.
    dataset.classes = range(setting.data.n_classes)
    loader = DataLoader(dataset, batch_size=BATCH_SIZE, shuffle=True)
    sizes = {
        "n_features_in": setting.data.n_features,
        "n_classes": setting.data.n_classes,
        "hidden_layer_sizes": (setting.hidden,),
    }

    def run() -> None:
        model = FusionClassifier(
            MLP,
            setting.n_members,
            estimator_args=sizes,
            cuda=torch.device(setting.device).type == "cuda",
        )
        model.set_criterion(nn.CrossEntropyLoss())
        model.set_optimizer("SGD", lr=LR, momentum=MOMENTUM)
        model.fit(loader, epochs=epochs, log_interval=10**9, save_model=False)

    return run
