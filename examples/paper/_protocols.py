"""How the paper trains: one protocol for each of its ensembles, and smaller ones.

Webb et al. (2020), section 4 and the authors' experiment scripts. Learning rates are a
member's: the authors give those of the loss that is divided by the number of members.
"""

from typing import Any, NamedTuple

import torch
from skorch.callbacks import EarlyStopping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import nn
from torch.optim.lr_scheduler import MultiStepLR

from examples.paper._images import Augmented
from sklearn_jointens import JointEnsembleClassifier
from sklearn_jointens.nn import MLP, ConvNet, DenseNetBC
from sklearn_jointens.training import MemberNetClassifier


class Case(NamedTuple):
    """What tells runs apart.

    Attributes
    ----------
    data, configuration : str
        Names of the images, and of the protocol.
    method : {"joint", "bagging", "BaggingClassifier", "stacking"}
    lam : float
    seed : int
    n_epochs, n_images : int
    flipped : float
        Share of the images, training and validation, that bear a wrong label.
    """

    data: str
    configuration: str
    method: str
    lam: float
    seed: int
    n_epochs: int
    n_images: int
    flipped: float = 0.0


class Protocol(NamedTuple):
    """Members of a kind, and how they are trained.

    Attributes
    ----------
    n_members : int
    module : type
        Of a member.
    settings : dict
        The module's own.
    lr : float
        Learning rate of a member.
    slow : tuple of two floats
        The rate from this lam on.
    batch_size : int
    validation : float or None
        Share of the images that the epoch is chosen by, for the least error of the
        ensemble. With None the last one counts.
    milestones : tuple of float
        Shares of the epochs after which the rate is a tenth.
    weight_decay : float
    augmented : bool
        Whether images are flipped and shifted by up to 4 pixels.
    """

    n_members: int
    module: type[nn.Module]
    settings: dict[str, Any]
    lr: float
    slow: tuple[float, float] = (2.0, 0.0)
    batch_size: int = 100
    validation: float | None = 1 / 6
    milestones: tuple[float, ...] = ()
    weight_decay: float = 0.0
    augmented: bool = False

    def member(self, case: Case, valid: Dataset | None, device: str) -> Any:
        """The prototype of a member, which may have rows to validate on."""
        slow_from, slow_rate = self.slow
        callbacks: list[tuple[str, Any]] = []
        if self.validation is not None:
            best = EarlyStopping(
                "valid_acc", case.n_epochs, lower_is_better=False, load_best=True
            )
            callbacks.append(("best", best))
        if self.milestones:
            epochs = [round(share * case.n_epochs) for share in self.milestones]
            callbacks.append(("rate", LRScheduler(MultiStepLR, milestones=epochs)))
        options: dict[str, Any] = {
            f"module__{name}": value for name, value in self.settings.items()
        }
        if self.augmented:
            options["dataset"] = Augmented
        return MemberNetClassifier(
            self.module,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.SGD,
            optimizer__momentum=0.9,
            optimizer__weight_decay=self.weight_decay,
            lr=self.lr if case.lam < slow_from else slow_rate,
            batch_size=self.batch_size,
            max_epochs=case.n_epochs,
            iterator_train__shuffle=True,
            train_split=None if valid is None else predefined_split(valid),
            callbacks=callbacks,
            verbose=0,
            device=device,
            **options,
        )

    def ensemble(
        self, case: Case, valid: Dataset | None, device: str
    ) -> JointEnsembleClassifier:
        """Not fitted; with the same initial weights for every lam of a seed."""
        return JointEnsembleClassifier(
            self.member(case, valid, device),
            self.n_members,
            case.lam,
            bootstrap=case.method == "bagging",
            random_state=case.seed,
        )


def perceptrons(n_members: int, hidden: int) -> Protocol:
    """Members of one hidden layer."""
    settings = {"hidden_layer_sizes": (hidden,)}
    return Protocol(n_members, MLP, settings, lr=0.02, slow=(0.99, 0.006))


def _densenets(n_members: int, depth: int, growth_rate: int) -> Protocol:
    """The authors' rate of 0.1 and decay of 1e-4 are of the divided loss."""
    return Protocol(
        n_members,
        DenseNetBC,
        {"depth": depth, "growth_rate": growth_rate},
        lr=0.1 / n_members,
        batch_size=64,
        validation=None,
        milestones=(0.5, 0.75),
        weight_decay=1e-4 * n_members,
        augmented=True,
    )


def _convnets(n_members: int, scale: float) -> Protocol:
    """On photographs."""
    widths = tuple(round(scale * width) for width in (32, 64, 64, 128, 128))
    return Protocol(
        n_members,
        ConvNet,
        {"widths": widths},
        lr=0.006,
        slow=(1.0, 0.002),
        validation=1 / 5,
        augmented=True,
    )


def _small_convnets(n_members: int, scale: float) -> Protocol:
    """On images of 28 x 28 pixels, of a size that a CPU can train; not the paper's."""
    widths = tuple(round(scale * width) for width in (8, 16, 32, 32))
    return Protocol(
        n_members,
        ConvNet,
        {"widths": widths, "strides": (2, 2, 1, 1)},
        lr=0.005,
        batch_size=20,
    )


# Values of lam of the paper's perceptrons.
LAMS = (0.0, 0.5, 0.8, 0.9, 0.95, 0.99, 1.0)

# Of about 815,000 parameters each.
PERCEPTRONS = {
    f"{m}x{hidden}": perceptrons(m, hidden)
    for m, hidden in ((1, 1024), (16, 64), (64, 16), (256, 4))
}
# Of 3,190 to 203,530 parameters; not the paper's.
GROWING_PERCEPTRONS = {
    f"16x{hidden}": perceptrons(16, hidden) for hidden in (4, 16, 64, 256)
}
# Whose last epoch counts, so that members are trained alike by themselves and together.
LAST_EPOCH = {"64x16-last": PERCEPTRONS["64x16"]._replace(validation=None)}
# Members of 70,000 to 1.2 million parameters on CIFAR-100.
CONVNETS = {
    f"{m}xConvNet-{scale:g}": _convnets(m, scale)
    for m, scale in ((10, 1), (16, 0.5), (16, 1), (16, 1.5), (16, 2))
}
SMALL_CONVNETS = {
    f"{m}xSmallConvNet-{scale:g}": _small_convnets(m, scale)
    for m, scale in ((10, 1), (16, 0.25), (16, 0.5), (16, 1), (16, 2))
}
# The paper's Table 1, and two that a CPU can train; the small one learns digits, which
# are too small to be shifted, by heart.
DENSENETS = {
    "DN-High": _densenets(4, 100, 12),
    "DN-Mid": _densenets(8, 82, 8),
    "DN-Low": _densenets(16, 64, 6),
    "DN-Tiny": _densenets(4, 16, 4),
    "DN-Small": _densenets(4, 16, 8)._replace(augmented=False),
}
PROTOCOLS = {
    **GROWING_PERCEPTRONS,
    **PERCEPTRONS,
    **LAST_EPOCH,
    **CONVNETS,
    **SMALL_CONVNETS,
    **DENSENETS,
}
