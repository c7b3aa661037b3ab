"""Floor 3: the skorch nets that train all members at once, and their batches."""

from sklearn_jointens.training._callbacks import BestEpoch
from sklearn_jointens.training._copies import (
    copied_net,
    derived_net,
    resolve_device,
    unfitted_net,
)
from sklearn_jointens.training._folds import Folds, MemberFolds
from sklearn_jointens.training._interrupts import interrupt, no_interrupt_lost
from sklearn_jointens.training._joint_net import (
    DivergenceError,
    JointNet,
    joint_net,
)
from sklearn_jointens.training._member_net import MemberNet, MemberNetClassifier
from sklearn_jointens.training._random import isolated_random_state
from sklearn_jointens.training.tables import (
    ColumnCodes,
    TabularNetClassifier,
    is_frame,
)

__all__ = [
    "BestEpoch",
    "ColumnCodes",
    "DivergenceError",
    "Folds",
    "JointNet",
    "MemberFolds",
    "MemberNet",
    "MemberNetClassifier",
    "TabularNetClassifier",
    "copied_net",
    "derived_net",
    "interrupt",
    "is_frame",
    "isolated_random_state",
    "joint_net",
    "no_interrupt_lost",
    "resolve_device",
    "unfitted_net",
]
