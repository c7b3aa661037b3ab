"""Whether ensembles can be trained as one program, each as if it were alone."""

from typing import Any

import torch
from skorch.callbacks import (
    EarlyStopping,
    EpochScoring,
    EpochTimer,
    LRScheduler,
    PassthroughScoring,
    PrintLog,
    WarmRestartLR,
)
from skorch.dataset import ValidSplit
from torch.optim import lr_scheduler

from sklearn_jointens.training._batches import BatchSlicer
from sklearn_jointens.training._callbacks import (
    BestEpoch,
    EpochLog,
    FitProgress,
    MemberNormClipping,
    is_stock,
)
from sklearn_jointens.training._folds import MemberFolds
from sklearn_jointens.training.groups._stream import Stream

# Callbacks that look at an epoch as a whole, in the net and the history of one
# ensemble, or clip the gradients of each member.
_BATCHABLE_CALLBACKS = {
    BestEpoch,
    EarlyStopping,
    EpochLog,
    EpochScoring,
    EpochTimer,
    FitProgress,
    LRScheduler,
    MemberNormClipping,
    PassthroughScoring,
    PrintLog,
}

# Optimizers that add to a weight what is proportional to the learning rate.
_PROPORTIONAL = (
    *(torch.optim.Adagrad, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop),
    torch.optim.SGD,
)

# Schedules that know nothing but the number of the epoch.
_SCHEDULES = {
    WarmRestartLR,
    lr_scheduler.ConstantLR,
    lr_scheduler.CosineAnnealingLR,
    lr_scheduler.CosineAnnealingWarmRestarts,
    lr_scheduler.ExponentialLR,
    lr_scheduler.LambdaLR,
    lr_scheduler.LinearLR,
    lr_scheduler.MultiStepLR,
    lr_scheduler.MultiplicativeLR,
    lr_scheduler.PolynomialLR,
    lr_scheduler.StepLR,
}


def why_one_by_one(net: Any, data: Any) -> str | None:
    """Why ensembles like this one cannot be trained as one program, or None.

    Parameters
    ----------
    net : JointNet
        Initialized.
    data : torch Dataset
        Of the training rows.

    Returns
    -------
    str or None
    """
    module, prototype_class = net.plain_module, type(net).prototype_class
    if not module.takes_blocks:
        return f"members are run one by one or by vmap ({module.reason})"
    if not is_stock(prototype_class):
        return f"{prototype_class.__name__} may train in a way of its own"
    if net.prediction_family_.transforms_members:
        return "'predict_nonlinearity' is a function of the user's own"
    if net.compile:
        return "members are compiled"
    if net.train_split and type(net.train_split) not in (MemberFolds, ValidSplit):
        return "'train_split' is neither skorch's ValidSplit nor MemberFolds"
    for name in ("iterator_train", "iterator_valid"):
        iterator = net.get_iterator(data, training=name == "iterator_train")
        generator = net.get_params_for(name).get("generator")
        if type(iterator) is not BatchSlicer or generator is not None:
            return f"'{name}' makes its batches in a way of its own"
    for name, callback in net.callbacks_:
        refused = _why_not_batchable(callback, net)
        if refused is not None:
            return f"the callback '{name}' {refused}"
    return None


def _why_not_batchable(callback: Any, net: Any) -> str | None:
    if type(callback) not in _BATCHABLE_CALLBACKS:
        return f"({type(callback).__name__}) may have a state of its own"
    if isinstance(callback, BestEpoch) and callback.n_drops:
        if is_scheduled(net):
            return "changes the learning rate beside a schedule"
        if net.optimizer not in _PROPORTIONAL:
            return "changes the learning rate, to which steps are not proportional"
    if isinstance(callback, EpochScoring) and callback.on_train:
        return "scores every training batch"
    if isinstance(callback, LRScheduler):
        if callback.step_every != "epoch":
            return "changes the learning rate at every batch"
        if callback.policy_ not in _SCHEDULES:
            return "may change the learning rates of ensembles in different ways"
    return None


def batches_alike(net: Any, stream: Stream) -> tuple[int, ...]:
    """What streams must have in common to be trained in one program.

    Parameters
    ----------
    net : JointNet
        One of the ensembles.
    stream : Stream

    Returns
    -------
    tuple of int
        Equal for streams that are validated or are not, all of them, and whose batches
        are alike where the prototype needs that: in their sizes, because members
        normalize over a batch; or in their number, because a schedule counts epochs.
    """
    n_valid = 0 if stream.iterator_valid is None else stream.iterator_valid.n_samples
    if net.plain_module.mixes_rows:
        return stream.iterator_train.n_samples, n_valid
    return (n_valid > 0, len(stream.iterator_train) if is_scheduled(net) else 0)


def is_scheduled(net: Any) -> bool:
    """Whether a callback changes the learning rate from epoch to epoch."""
    return any(isinstance(callback, LRScheduler) for _, callback in net.callbacks_)
