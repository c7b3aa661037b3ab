"""What all benchmarks of perceptrons have in common: members, data, optimizer."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import skorch
import torch
from torch import Tensor, nn

import sklearn_jointens
from examples._data import Data
from examples._kinds import of_task
from examples.benchmarks._steps import LAM, LR, MOMENTUM, Batch
from sklearn_jointens.losses import Family, family_of
from sklearn_jointens.nn import MLP, VectorizedModule, vectorize_members

BATCH_SIZE = 100
# Hidden units of the network that is the yardstick, and of all members together.
WIDE = 1024
# Members and their hidden units, for what is measured of one configuration only.
ONE_CONFIG = (16, 64)


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
    device: str = "cpu"
    rounds: int = 5
    n_jobs: int = 2

    @property
    def subject(self) -> str:
        return f"{self.n_members}x{self.hidden}"

    def with_random_data(self, n_rows: int) -> "Setting":
        """The same on other data, few enough rows to be sent to another process."""
        return replace(self, data=synthetic(n_rows))

    def of_numbers(self) -> "Setting":
        """The same, whose class numbers are numbers to predict."""
        y = self.data.y_train.astype(np.float32)
        return replace(self, data=self.data._replace(y_train=(y - y.mean()) / y.std()))

    @property
    def criterion(self) -> type[nn.Module]:
        is_of_classes = self.data.task == "classification"
        return nn.CrossEntropyLoss if is_of_classes else nn.MSELoss

    @property
    def family(self) -> Family:
        """What the joint loss makes of the criterion."""
        return family_of(self.criterion())

    def rows(self, n_rows: int) -> tuple[np.ndarray, np.ndarray]:
        """The first training rows."""
        return self.data.X_train[:n_rows], self.data.y_train[:n_rows]

    def tensors(self, n_rows: int) -> tuple[Tensor, Tensor]:
        """The first training rows on the device."""
        X, y = map(torch.as_tensor, self.rows(n_rows))
        return X.to(self.device), y.to(self.device)

    def batches(self, n_batches: int = 40) -> list[Batch]:
        """The first batches on the device."""
        X, y = self.tensors(n_batches * BATCH_SIZE)
        return list(zip(X.split(BATCH_SIZE), y.split(BATCH_SIZE), strict=True))

    def modules(self, seed: int = 0) -> list[nn.Module]:
        """Plain members; the same for the same seed."""
        torch.manual_seed(seed)
        return [self._mlp(self.hidden) for _ in range(self.n_members)]

    def vectorized(self, method: str = "auto") -> VectorizedModule:
        """All members as one module."""
        example = self.tensors(8)[0]
        return vectorize_members(self.modules(), method, example).train()

    def wide(self) -> nn.Module:
        """One network of as many hidden units as all members have."""
        torch.manual_seed(0)
        return self._mlp(self.n_units)

    @property
    def n_units(self) -> int:
        """Hidden units of all members."""
        return self.n_members * self.hidden

    def bound(self, bounds: Mapping[int, str]) -> str:
        """The target for members of this size, where there is one.

        Parameters
        ----------
        bounds : mapping of int to str
            By the hidden units of one of the members that share 1024.
        """
        return bounds.get(self.hidden, "") if self.n_units == WIDE else ""

    def _mlp(self, hidden: int) -> nn.Module:
        mlp = MLP(self.data.n_features, self.data.n_outputs, hidden)
        return mlp.to(self.device)

    def net(self, epochs: int, hidden: int | None = None) -> skorch.NeuralNet:
        """A stock skorch net, of a member's hidden units unless told."""
        return of_task(self.data.task, skorch, "NeuralNet")(
            MLP,
            module__n_features_in=self.data.n_features,
            module__n_outputs=self.data.n_outputs,
            module__hidden_layer_sizes=(hidden or self.hidden,),
            criterion=self.criterion,
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

    def ensemble(self, epochs: int) -> Any:
        """The ensemble of this configuration."""
        make = of_task(self.data.task, sklearn_jointens, "JointEnsemble")
        return make(self.net(epochs), self.n_members, LAM, random_state=0)


def shuffled_batches(X: Tensor, y: Tensor) -> Iterator[Batch]:
    """Batches of one epoch."""
    order = torch.randperm(len(X)).to(X.device)
    for index in order.split(BATCH_SIZE):
        yield X[index], y[index]


def synthetic(n_rows: int, n_features: int = 784, n_classes: int = 10) -> Data:
    """Random data, of the shape of Fashion-MNIST unless said otherwise.

    Every class is among the rows.
    """
    generator = np.random.default_rng(0)
    X = generator.standard_normal((n_rows, n_features), dtype=np.float32)
    y = generator.permutation(np.arange(n_rows) % n_classes)
    return Data("synthetic", X, y, X[:1], y[:1])


def proba_of_loop(modules: Sequence[nn.Module], X: Tensor) -> Tensor:
    """Geometric mean of the members' probabilities, one member after the other."""
    return torch.softmax(sum(module(X) for module in modules) / len(modules), dim=1)
