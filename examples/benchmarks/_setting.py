"""What all benchmarks have in common: members, data, optimizer."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from skorch import NeuralNetClassifier
from torch import Tensor, nn

from examples._data import Data
from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.losses import joint_loss
from sklearn_jointens.nn import MLP, VectorizedModule, vectorize_members

LAM = 0.9
BATCH_SIZE = 100
# Low, because timing does not depend on it and random data must not diverge.
LR = 0.002
MOMENTUM = 0.9


@dataclass(frozen=True)
class Setting:
    """One configuration to measure.

    Parameters
    ----------
    data : Data
    n_members, hidden : int
        Of networks with one hidden layer.
    device : str
    rounds : int
        How often everything is measured.
    n_jobs : int
        Processes that rivals may use.
    """

    data: Data
    n_members: int
    hidden: int
    device: str
    rounds: int
    n_jobs: int

    @property
    def subject(self) -> str:
        return f"{self.n_members}x{self.hidden}"

    def rows(self, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The first training rows."""
        return self.data.X_train[:n_rows], self.data.y_train[:n_rows]

    def tensors(self, n_rows: int) -> tuple[Tensor, Tensor]:
        """The first training rows on the device."""
        X, y = self.rows(n_rows)
        return torch.as_tensor(X, device=self.device), torch.as_tensor(
            y, device=self.device
        )

    def modules(self, seed: int = 0) -> list[nn.Module]:
        """Plain members; the same for the same seed."""
        torch.manual_seed(seed)
        sizes = self.data.n_features, self.data.n_classes, self.hidden
        return [MLP(*sizes).to(self.device) for _ in range(self.n_members)]

    def vectorized(self, method: str = "auto") -> VectorizedModule:
        """All members as one module."""
        example = self.tensors(8)[0]
        return vectorize_members(self.modules(), method, example).train()

    def net(self, epochs: int) -> NeuralNetClassifier:
        """The member as a stock skorch classifier."""
        return NeuralNetClassifier(
            MLP,
            module__n_features_in=self.data.n_features,
            module__n_classes=self.data.n_classes,
            module__hidden_layer_sizes=(self.hidden,),
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.SGD,
            optimizer__momentum=MOMENTUM,
            lr=LR,
            max_epochs=epochs,
            batch_size=BATCH_SIZE,
            iterator_train__shuffle=True,
            train_split=None,
            device=self.device,
            verbose=0,
        )

    def ensemble(self, epochs: int) -> JointEnsembleClassifier:
        """The ensemble of this configuration."""
        net = self.net(epochs)
        return JointEnsembleClassifier(net, self.n_members, LAM, random_state=0)


def sgd(module: nn.Module, lr: float = LR) -> torch.optim.Optimizer:
    """The optimizer of every benchmark."""
    return torch.optim.SGD(module.parameters(), lr=lr, momentum=MOMENTUM)


def joint_step(
    module: VectorizedModule, optimizer: torch.optim.Optimizer, X: Tensor, y: Tensor
) -> None:
    """One training step of all members, with gradients of a member's own size."""
    optimizer.zero_grad()
    loss = joint_loss(module(X), y, LAM) * module.n_members
    loss.backward()
    optimizer.step()


def shuffled_batches(X: Tensor, y: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of one epoch."""
    order = torch.randperm(len(X)).to(X.device)
    for index in order.split(BATCH_SIZE):
        yield X[index], y[index]


def synthetic(n_rows: int) -> Data:
    """Random data of the shape of Fashion-MNIST."""
    generator = np.random.default_rng(0)
    X = generator.standard_normal((n_rows, 784), dtype=np.float32)
    y = generator.integers(10, size=n_rows)
    return Data("synthetic rows of 784", X, y, X[:1], y[:1])


def proba_of_loop(modules: list[Any], X: Tensor) -> Tensor:
    """Geometric mean of the members' probabilities, one member after the other."""
    return torch.softmax(sum(module(X) for module in modules) / len(modules), dim=1)
