"""What a training step costs where members are no perceptrons."""

import warnings
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from examples.benchmarks._measure import Figure, figure
from examples.benchmarks._steps import (
    Batch,
    captured,
    joint_step,
    loop_step,
    time_steps,
)
from sklearn_jointens.nn import (
    ConvNet,
    DenseNetBC,
    VectorizedModule,
    vectorize_members,
)

IMAGE = (3, 32, 32)
# Steps of a sequence, and features of each.
SEQUENCE = (32, 32)


class LSTMNet(nn.Module):
    """A linear layer on the last output of an LSTM."""

    def __init__(self, n_features: int, n_hidden: int, n_classes: int) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(n_features, n_hidden, batch_first=True)
        self.output = nn.Linear(n_hidden, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of sequences, (B, n_steps, n_features) to (B, n_classes)."""
        return self.output(self.recurrent(x)[0][:, -1])


class AttentionNet(nn.Module):
    """A linear layer on the mean output of a layer of a transformer."""

    def __init__(self, n_features: int, n_heads: int, n_classes: int) -> None:
        super().__init__()
        self.attention = nn.TransformerEncoderLayer(
            n_features, n_heads, 2 * n_features, dropout=0.0, batch_first=True
        )
        self.output = nn.Linear(n_features, n_classes)

    def forward(self, x: Tensor) -> Tensor:
        """Logits of sequences, (B, n_steps, n_features) to (B, n_classes)."""
        return self.output(self.attention(x).mean(1))


class Case(NamedTuple):
    """Members of one kind, and what they are trained on."""

    name: str
    n_members: int
    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    n_classes: int
    batch_size: int = 100

    @property
    def subject(self) -> str:
        return f"{self.n_members} {self.name}"

    def modules(self, device: str) -> list[nn.Module]:
        """Plain members, the same each time."""
        torch.manual_seed(0)
        return [self.build().to(device) for _ in range(self.n_members)]

    def batch(self, device: str) -> Batch:
        """Random rows."""
        torch.manual_seed(0)
        X = torch.randn(self.batch_size, *self.shape)
        y = torch.randint(self.n_classes, (self.batch_size,))
        return X.to(device), y.to(device)

    def vectorized(self, method: str, device: str) -> VectorizedModule:
        """All members as one module."""
        example = self.batch(device)[0][:7]
        return vectorize_members(self.modules(device), method, example).train()


CASES = (
    Case("ConvNet", 10, lambda: ConvNet(IMAGE[0], 10), IMAGE, 10),
    Case("LSTM", 10, lambda: LSTMNet(SEQUENCE[1], 32, 10), SEQUENCE, 10),
    Case("attention", 10, lambda: AttentionNet(SEQUENCE[1], 4, 10), SEQUENCE, 10),
)


def _densenet(depth: int, growth_rate: int, n_members: int) -> Case:
    def build() -> nn.Module:
        return DenseNetBC(
            depth, growth_rate, in_channels=IMAGE[0], n_outputs=_N_DENSENET_CLASSES
        )

    name = f"DenseNet-BC ({depth}, {growth_rate})"
    return Case(name, n_members, build, IMAGE, _N_DENSENET_CLASSES, batch_size=64)


_N_DENSENET_CLASSES = 100
# Depth, growth rate and number of members of the paper's Table 1.
DENSENETS = tuple(_densenet(*size) for size in ((100, 12, 4), (82, 8, 8), (64, 6, 16)))


def networks(rounds: int, device: str) -> Iterator[Figure]:
    """A step in the way that is chosen, and in the others, against a plain loop."""
    for case in CASES:
        chosen = case.vectorized("auto", device)
        steps = {
            "plain loop": loop_step(case.modules(device)),
            "chosen": joint_step(chosen),
        }
        for method in ("structural", "vmap"):
            if method == chosen.method:
                continue
            try:
                steps[method] = joint_step(case.vectorized(method, device))
            except ValueError:  # which says that these members cannot be run so
                continue
        with warnings.catch_warnings():
            # vmap says that it is slow, which is what is measured.
            warnings.filterwarnings("ignore", "There is a performance drop")
            times = time_steps(steps, [case.batch(device)], 3 * rounds, device)
        loop = times.pop("plain loop")
        for name, values in times.items():
            bound = "<= 1.05" if name == "chosen" else ""
            way = f"{chosen.method}, as chosen" if name == "chosen" else name
            what = f"joint step ({way}) / loop over plain members"
            yield figure("networks", case.subject, what, values / loop, target=bound)


def densenets(rounds: int, device: str) -> Iterator[Figure]:
    """A step of each of the paper's ensembles of DenseNets."""
    on_cuda = torch.device(device).type == "cuda"
    for case in DENSENETS:
        chosen, batch = case.vectorized("auto", device), case.batch(device)
        joint = joint_step(chosen)
        steps = {"joint": joint, "loop": loop_step(case.modules(device))}
        times = time_steps(steps, [batch], rounds, device)
        name = f"joint step ({chosen.method})"
        what = f"{name} / loop over plain members"
        ratio = times["joint"] / times["loop"]
        yield figure("densenets", case.subject, what, ratio)
        yield figure("densenets", case.subject, name, 1e3 * times["joint"], "ms")
        if on_cuda:
            graph = {"joint": captured(joint, batch)}
            times = time_steps(graph, [batch], rounds, device)
            what = f"{name}, as a CUDA graph"
            yield figure("densenets", case.subject, what, 1e3 * times["joint"], "ms")
