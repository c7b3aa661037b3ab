"""Floor 3: the skorch nets that train all members at once, and their batches."""

from sklearn_jointens.training._callbacks import BestEpoch
from sklearn_jointens.training._copies import (
    copied_net,
    derived_net,
    resolve_device,
    unfitted_net,
)
from sklearn_jointens.training._dominance import MemberDominanceWarning
from sklearn_jointens.training._ending import as_if_ended
from sklearn_jointens.training._folds import Folds, MemberFolds
from sklearn_jointens.training._interrupts import interrupt, no_interrupt_lost
from sklearn_jointens.training._joint_net import (
    DivergenceError,
    JointNet,
    joint_net,
)
from sklearn_jointens.training._member_net import (
    MemberNet,
    MemberNetClassifier,
    MemberNetRegressor,
)
from sklearn_jointens.training._random import isolated_random_state
from sklearn_jointens.training._targets import (
    Targets,
    class_targets,
    number_family,
    targets_of,
)
from sklearn_jointens.training.tables import (
    ColumnCodes,
    TabularNet,
    TabularNetClassifier,
    TabularNetRegressor,
    is_frame,
)

__all__ = [
    "BestEpoch",
    "ColumnCodes",
    "DivergenceError",
    "Folds",
    "JointNet",
    "MemberDominanceWarning",
    "MemberFolds",
    "MemberNet",
    "MemberNetClassifier",
    "MemberNetRegressor",
    "TabularNet",
    "TabularNetClassifier",
    "TabularNetRegressor",
    "Targets",
    "as_if_ended",
    "class_targets",
    "copied_net",
    "derived_net",
    "interrupt",
    "is_frame",
    "isolated_random_state",
    "joint_net",
    "no_interrupt_lost",
    "number_family",
    "resolve_device",
    "targets_of",
    "unfitted_net",
]
