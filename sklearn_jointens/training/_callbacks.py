"""Callbacks of a joint fit: what it shows, and clipping that keeps members apart."""

import inspect
import time
from typing import Any

from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    PrintLog,
)
from tqdm.auto import tqdm

# Fits shorter than this show their epochs and no bar.
DELAY_SECONDS = 5.0


def is_stock(code: Any) -> bool:
    """Whether a class or function is skorch's or ours, and no user's own."""
    return code.__module__.partition(".")[0] in ("skorch", "sklearn_jointens")


class EpochLog(PrintLog):
    """skorch's line an epoch; the table is made only when it is shown."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.verbose or self.sink is not print:
            super().on_epoch_end(net, **kwargs)


class FitProgress(Callback):
    """A bar over all batches of a fit, which appears only on long fits."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.start_ = time.monotonic()
        self.n_done_ = self.n_batches_ = 0
        self.bar_ = None

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, **kwargs: Any
    ) -> None:
        if not self.n_batches_:
            batches = len(net.get_iterator(dataset_train, training=True))
            self.n_batches_ = batches * net.epochs_

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if not training:
            return
        self.n_done_ += 1
        if self.bar_ is not None:
            self.bar_.update()
        elif time.monotonic() - self.start_ > DELAY_SECONDS:
            # Not made before it is wanted: tqdm would draw it around printed lines.
            self.bar_ = tqdm(
                desc="fit",
                initial=self.n_done_,
                total=self.n_batches_,
                unit="batch",
                leave=False,
            )

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.bar_ is not None:
            self.bar_.close()
        self.bar_ = None


class BestEpoch(EarlyStopping):
    """skorch's early stopping, which may take smaller steps before it stops.

    A fit without validation data runs through.

    Parameters
    ----------
    monitor, patience, threshold, threshold_mode, lower_is_better, sink, load_best
        As of skorch's ``EarlyStopping``.
    n_drops : int, default=0
        How often a fit that has not improved for `patience` epochs goes on, with the
        learning rate times `factor`; from the best epoch with `load_best`.
    factor : float, default=0.2
        Of the learning rate.
    """

    misses_: int

    def __init__(
        self,
        monitor: str = "valid_loss",
        patience: int = 5,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        lower_is_better: bool = True,
        sink: Any = print,
        load_best: bool = False,
        n_drops: int = 0,
        factor: float = 0.2,
    ) -> None:
        super().__init__(
            monitor,
            patience,
            threshold,
            threshold_mode,
            lower_is_better,
            sink,
            load_best,
        )
        self.n_drops = n_drops
        self.factor = factor

    def __repr__(self) -> str:
        """What differs from the defaults."""
        defaults = inspect.signature(type(self)).parameters
        changed = [
            f"{name}={value!r}"
            for name, value in self.get_params().items()
            if value != defaults[name].default
        ]
        return f"{type(self).__name__}({', '.join(changed)})"

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        super().on_train_begin(net, **kwargs)
        self.n_dropped_ = 0

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if self.monitor not in net.history[-1]:
            return
        score = net.history[-1, self.monitor]
        goes_on = self._is_score_improved(score) or self.misses_ + 1 < self.patience
        if goes_on or self.n_dropped_ == self.n_drops:
            super().on_epoch_end(net, **kwargs)
            return
        self.misses_ = 0
        self.n_dropped_ += 1
        if self.load_best and self.best_model_weights_ is not None:
            net.module_.load_state_dict(self.best_model_weights_)
        for group in net.optimizer_.param_groups:
            group["lr"] = group["lr"] * self.factor


def besides(named: tuple[str, Any], callbacks: Any) -> Any:
    """A callback of ours, and those of the user's own; ``None`` is none at all."""
    return [named, *callbacks] if isinstance(callbacks, list | tuple) else callbacks


class MemberNormClipping(GradientNormClipping):
    """skorch's clipping of the gradient's norm, for each member by itself.

    One norm over all members would tie each of them to the others, at ``lam=0`` too.
    """

    def on_grad_computed(self, net: Any, named_parameters: Any, **kwargs: Any) -> None:
        if self.gradient_clip_value is not None:
            net.module_.clip_grad_norm_(
                self.gradient_clip_value, self.gradient_clip_norm_type
            )


def for_each_member(callback: Any) -> Any:
    """What stands in for a prototype's callback that would mix the members."""
    if type(callback) is GradientNormClipping:
        return MemberNormClipping(**callback.get_params()).initialize()
    return callback
