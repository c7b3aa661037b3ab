"""Whether a change made things slower: two checkouts, in turns.

Each checkout is imported by a process of its own, with one thread. They do each task in
turns; the ratio of their CPU times is taken within a round, and its median and
quartiles over the rounds are printed. From the project's root:

    git worktree add ../before 327bc4b
    python -m examples.benchmarks.commits --before ../before --rounds 31
"""

import argparse
import pickle
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import make_classification
from skorch import NeuralNetClassifier
from torch import nn

_ROOT = Path(__file__).parents[2]


class InALoop(nn.Module):
    """Looks at its own weights, so that members run one after the other."""

    def __init__(self, n_features_in: int, n_classes: int):
        super().__init__()
        self.hidden = nn.Linear(n_features_in, 32)
        self.output = nn.Linear(32, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x if self.hidden.bias.sum() < 99 else -x
        return self.output(torch.relu(self.hidden(x)))


def tasks() -> dict[str, tuple[Callable[[], object], int]]:
    """What is done, and how often in a round; with what all commits have."""
    from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    from sklearn_jointens.losses import joint_loss
    from sklearn_jointens.nn import MLP, ConvNet, vectorize_members

    X, y = make_classification(4000, 20, n_informative=10, n_classes=4, random_state=0)
    X = X.astype(np.float32)
    images = np.random.RandomState(0).randn(256, 1, 12, 12).astype(np.float32)

    def mlps(units: tuple[int, ...], n: int, epochs: int) -> JointEnsembleClassifier:
        member = mlp_classifier(units, max_epochs=epochs)
        return JointEnsembleClassifier(member, n, lam=0.9, random_state=0)

    def nets(module: type[nn.Module], n: int, **params: object) -> object:
        net = NeuralNetClassifier(
            module,
            criterion=nn.CrossEntropyLoss,
            lr=0.05,
            train_split=None,
            verbose=0,
            **params,
        )
        return JointEnsembleClassifier(net, n, random_state=0)

    many = mlps((16,), 256, 1).fit(X[:400], y[:400])
    served, pickled = mlps((64, 64), 16, 2).fit(X, y), pickle.dumps(many)
    torch.manual_seed(0)
    together = vectorize_members([MLP(20, 4, (64, 64)) for _ in range(16)])
    optimizer = torch.optim.SGD(together.parameters(), lr=0.01)
    rows, targets = torch.from_numpy(X[:128]), torch.from_numpy(y[:128])

    def step() -> None:
        optimizer.zero_grad()
        joint_loss(together(rows), targets, 0.9).backward()
        optimizer.step()

    conv_params = {"module__widths": (16, 32), "module__strides": (1, 2)}
    conv = nets(ConvNet, 4, max_epochs=2, batch_size=64, **conv_params)
    loop = nets(InALoop, 8, max_epochs=3)
    return {
        "step of 16 MLPs": (step, 100),
        "fit of 16 MLPs": (lambda: mlps((64, 64), 16, 6).fit(X, y), 1),
        "fit of 4 tiny MLPs": (lambda: mlps((8,), 4, 2).fit(X[:100], y[:100]), 3),
        "fit of 4 ConvNets": (lambda: conv.fit(images, y[:256]), 1),
        "fit of 8 MLPs in a loop": (lambda: loop.fit(X, y), 1),
        "predict one row": (lambda: served.predict_proba(X[:1]), 100),
        "predict 4,000 rows": (lambda: served.predict_proba(X), 3),
        "unpickle 256 members": (lambda: pickle.loads(pickled), 1),
        "pickle 256 members": (lambda: pickle.dumps(many), 1),
        "drop one of 256 members": (lambda: many.drop_members([0]), 1),
    }


def work(checkout: str) -> None:
    """Do the tasks that are asked for on standard input; print seconds of each."""
    sys.path.insert(0, checkout)
    torch.set_num_threads(1)
    known = tasks()
    print(*known, sep="\t", flush=True)
    for line in sys.stdin:
        task, n = known[line.strip()]
        started = time.process_time()
        for _ in range(n):
            task()
        print((time.process_time() - started) / n, flush=True)


class Worker:
    """A process that does tasks with one checkout of the package."""

    def __init__(self, checkout: Path) -> None:
        code = f"from examples.benchmarks.commits import work; work({str(checkout)!r})"
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.tasks = self._read().split("\t")

    def seconds(self, task: str) -> float:
        """CPU seconds of one run of a task."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{task}\n")
        self.process.stdin.flush()
        return float(self._read())

    def _read(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().strip()
        if not line:
            raise RuntimeError("A checkout failed; what it raised is above.")
        return line


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", type=Path, required=True, help="a checkout")
    parser.add_argument("--rounds", type=int, default=31)
    parser.add_argument("--task", action="append", help="only these")
    options = parser.parse_args(arguments)
    workers = [Worker(path.resolve()) for path in (options.before, _ROOT)]
    for task in options.task or workers[0].tasks:
        for worker in workers:
            worker.seconds(task)
        pairs = np.empty((options.rounds, 2))
        for i in range(options.rounds):
            for k in (0, 1) if i % 2 else (1, 0):
                pairs[i, k] = workers[k].seconds(task)
        before, after = 1000 * np.median(pairs, axis=0)
        low, median, high = np.quantile(pairs[:, 1] / pairs[:, 0], [0.25, 0.5, 0.75])
        print(
            f"{task}: {median:.3f} x ({low:.3f} to {high:.3f}), "
            f"{before:.3g} ms before and {after:.3g} ms after",
            flush=True,
        )
    for worker in workers:
        worker.process.communicate()  # which ends what it reads


if __name__ == "__main__":
    main()
