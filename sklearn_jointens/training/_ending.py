"""The epoch that a training goes back to at its end, and how it would end now."""

import copy
from typing import Any

from skorch.callbacks import Checkpoint, EarlyStopping
from torch import nn

from sklearn_jointens.training._copies import net_with


def _goes_back_to(callback: Any, net: Any) -> int | None:
    """The epoch whose weights a callback puts back at the end, if it does."""
    if not getattr(callback, "load_best", False):
        return None
    if isinstance(callback, EarlyStopping):
        best = callback.best_epoch_
        goes_back = best != net.history[-1]["epoch"]
        return best if goes_back and callback.best_model_weights_ is not None else None
    if isinstance(callback, Checkpoint) and callback.monitor is not None:
        name = callback.event_name
        saved = [row["epoch"] for row in net.history if row.get(name)]
        return saved[-1] if saved else None
    return None


def restored_epoch(net: Any) -> int | None:
    """The epoch whose weights a callback has gone back to at the end, if one has."""
    epochs = [_goes_back_to(callback, net) for _, callback in net.callbacks_]
    return next((epoch for epoch in reversed(epochs) if epoch is not None), None)


def mark_restored(net: Any) -> None:
    """Let the history say of each epoch whether it was restored, if any was."""
    epoch = restored_epoch(net)
    for i, row in enumerate(net.history):
        # As a new row: an earlier history may share the old one.
        net.history[i] = {k: value for k, value in row.items() if k != "restored"}
        if epoch is not None:
            net.history[i]["restored"] = row["epoch"] == epoch


def as_if_ended(net: Any) -> Any:
    """A net in training, as it would be if that ended now; with weights of its own.

    Parameters
    ----------
    net : JointNet
        At the end of an epoch. It is left as it is.

    Returns
    -------
    JointNet
        Ready to predict.
    """
    own = net.plain_module.select(range(net.plain_module.n_members))
    # Callbacks know weights by the names that they have in what torch has compiled.
    is_plain = net.module_ is net.plain_module
    ended = net_with(
        net,
        module_=own if is_plain else nn.ModuleDict({"_orig_mod": own}),
        vectorized_=(own,),
        history_=copy.copy(net.history),
        is_training_=False,
        has_ended_=True,
        watch_=None,
    )
    for _, callback in net.callbacks_:
        if _goes_back_to(callback, net) is not None:
            _go_back(callback, ended)
    mark_restored(ended)
    vars(ended)["module_"] = own
    del vars(ended)["optimizer_"]  # which is of the other's weights
    return ended


def _go_back(callback: Any, net: Any) -> None:
    """What the callback does at the end, without a word of it."""
    if isinstance(callback, EarlyStopping):
        net.module_.load_state_dict(callback.best_model_weights_)
    else:
        path = callback.get_formatted_files(net)["f_params"]
        net.load_params(f_params=path, use_safetensors=callback.use_safetensors)
