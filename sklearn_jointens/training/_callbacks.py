"""What a fit shows."""

from typing import Any

from skorch.callbacks import Callback, PrintLog
from tqdm.auto import tqdm

# Fits shorter than this show their epochs and no bar.
_DELAY_SECONDS = 5.0


class EpochLog(PrintLog):
    """skorch's line an epoch; the table is made only when it is shown."""

    def on_epoch_end(self, net: Any, **kwargs: Any) -> None:
        if net.verbose or self.sink is not print:
            super().on_epoch_end(net, **kwargs)


class FitProgress(Callback):
    """A bar over all batches of a fit, which appears only on long fits."""

    def on_train_begin(self, net: Any, **kwargs: Any) -> None:
        self.bar_ = None

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, **kwargs: Any
    ) -> None:
        if self.bar_ is None:
            batches = len(net.get_iterator(dataset_train, training=True))
            self.bar_ = tqdm(
                total=batches * net.epochs_,
                unit="batch",
                desc="fit",
                delay=_DELAY_SECONDS,
                leave=False,
            )

    def on_batch_end(self, net: Any, training: bool = False, **kwargs: Any) -> None:
        if training:
            self.bar_.update()

    def on_train_end(self, net: Any, **kwargs: Any) -> None:
        if self.bar_ is not None:
            self.bar_.close()
        self.bar_ = None
