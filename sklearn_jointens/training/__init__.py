"""Floor 3: the skorch nets that train all members at once, and their batches."""

from sklearn_jointens.training._joint_net import (
    DivergenceError,
    JointNet,
    joint_net,
)
from sklearn_jointens.training._member_net import (
    MemberNet,
    MemberNetClassifier,
    copied_net,
    derived_net,
    resolve_device,
    unfitted_net,
)
from sklearn_jointens.training._random import isolated_random_state

__all__ = [
    "DivergenceError",
    "JointNet",
    "MemberNet",
    "MemberNetClassifier",
    "copied_net",
    "derived_net",
    "isolated_random_state",
    "joint_net",
    "resolve_device",
    "unfitted_net",
]
