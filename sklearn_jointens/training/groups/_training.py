"""The loop that trains many ensembles at once, each as if it were alone.

Each ensemble has a skorch net of its own, with its own callbacks and history: they see
its epochs begin and end as in skorch's loop. What happens within an epoch is done for
all ensembles by one program. Streams need not be in step: each goes on to its next
epoch when its batches are used up, so that no step is taken for a part of them only.
"""

from collections import deque
from collections.abc import Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor
from tqdm.auto import tqdm

from sklearn_jointens.losses import JointTerms
from sklearn_jointens.training._batches import Batch
from sklearn_jointens.training._callbacks import DELAY_SECONDS
from sklearn_jointens.training._dominance import n_batches_of_last_rows
from sklearn_jointens.training._heap import steady_heap
from sklearn_jointens.training._interrupts import is_interrupt
from sklearn_jointens.training._joint_net import DivergenceError
from sklearn_jointens.training.groups._batchable import is_scheduled
from sklearn_jointens.training.groups._collate import Collator
from sklearn_jointens.training.groups._run import GroupRun
from sklearn_jointens.training.groups._stream import Group, Stream


def train_groups(
    prototype: Any,
    nets: Sequence[tuple[Stream, Sequence[Any]]],
    verbose: bool = False,
) -> list[Group]:
    """Train ensembles of several streams as one program.

    Each comes out as ``net.partial_fit`` would have made it by itself. Call it within
    `isolated_random_state`.

    Parameters
    ----------
    prototype : skorch net
        Of all members.
    nets : sequence of (Stream, sequence of JointNet)
        Streams of one data set, and the ensembles that are to learn from each. All
        ensembles are of one architecture and for the same classes.
    verbose : bool, default=False
        Whether to show a progress bar on long trainings.

    Returns
    -------
    list of Group
        Stream by stream, each with its trained `net`, or with the `error` that the
        training of this ensemble ended in.
    """
    steady_heap()
    for stream, of_stream in nets:
        stream.begin(list(of_stream))
    groups = [group for stream, _ in nets for group in stream.groups]
    n_batches = sum(len(group.stream.iterator_train) for group in groups)
    total = n_batches * groups[0].net.max_epochs
    with search_bar(total, "batch", verbose) as bar:
        _GroupLoop(GroupRun(prototype, groups), bar).train()
    for stream, _ in nets:
        stream.groups = []
    return groups


def search_bar(total: int, unit: str, verbose: bool) -> Any:
    """A bar that appears only on long searches.

    Parameters
    ----------
    total : int
    unit : str
        Of what `total` counts.
    verbose : bool
        Whether there is a bar at all.

    Returns
    -------
    context manager
        Which gives something that has an ``update``.
    """
    if not verbose:
        # No bar that is disabled: it has a destructor, and Ctrl-C in one is lost.
        return nullcontext(SimpleNamespace(update=lambda n=1: None))
    return tqdm(desc="search", total=total, unit=unit, leave=False, delay=DELAY_SECONDS)


class _GroupLoop:
    """Steps of many ensembles, and the epochs of their streams."""

    def __init__(self, run: GroupRun, bar: Any) -> None:
        self.run, self.bar = run, bar
        # The figures of all groups, for each step; `_start` is where the epoch
        # of a stream begins among them.
        self._figures: list[Tensor] = []
        self._start: dict[Stream, int] = {}
        # Outputs and targets of the last steps, of all groups.
        batch_size = min(group.stream.iterator_train.batch_size for group in run.groups)
        self._last: deque[Any] = deque(maxlen=n_batches_of_last_rows(batch_size))
        self._arrange()

    def _arrange(self) -> None:
        """Take note of who is left."""
        groups = self.run.groups
        self.streams = list(dict.fromkeys(group.stream for group in groups))
        for stream in self.streams:
            stream.groups = [group for group in groups if group.stream is stream]
        if groups:
            self._collator = Collator(groups)

    def train(self) -> None:
        groups = self.run.groups
        # Schedules may begin with a learning rate of their own.
        self.run.follow(groups[0].net.optimizer_)
        if self.run.net.max_epochs < 1:
            self._finish(range(len(groups)))
            return
        self._begin_epochs(self.streams)
        while self.streams:
            self._step()
            ended = [stream for stream in self.streams if not stream.batches]
            if ended:
                self._end_epochs(ended)

    def _begin_epochs(self, streams: Sequence[Stream]) -> None:
        for stream in streams:
            self._start[stream] = len(self._figures)
            stream.begin_epoch()

    def _step(self) -> None:
        indices = [stream.batches.popleft() for stream in self.streams]
        batch = self._collator.collate(indices)
        terms = self.run.step(batch)
        self._figures.append(_figures_of(terms, batch.sizes))
        self._last.append((terms.member_outputs, batch.y, batch.sizes))
        self.bar.update(len(batch.sizes))

    # -- the end of an epoch ---------------------------------------------------------

    def _end_epochs(self, streams: Sequence[Stream]) -> None:
        groups = self.run.groups
        ended = [g for g, group in enumerate(groups) if group.stream in streams]
        self._record_training(streams)
        healthy = [g for g in ended if self._is_healthy(groups[g])]
        for g in healthy:
            self.run.hand_back(g)
        if healthy:
            self._validate(healthy)
        over = set(ended) - set(healthy)
        for g in healthy:
            if self._ends_with(groups[g]):
                over.add(g)
            elif not is_scheduled(groups[g].net):
                self.run.take_over(g)
        self._finish(sorted(over))
        self._begin_epochs([s for s in streams if s in self.streams])
        self._forget_figures()

    def _record_training(self, streams: Sequence[Stream]) -> None:
        """Write the figures of an epoch into the histories, as those of one batch."""
        table = torch.stack(self._figures).cpu().double()
        for stream in streams:
            sizes = torch.tensor(stream.sizes, dtype=torch.float64)
            mean = torch.tensordot(sizes / sizes.sum(), table[self._start[stream] :], 1)
            for g, group in enumerate(self.run.groups):
                if group.stream is not stream:
                    continue
                net, n_rows = group.net, int(sizes.sum())
                loss, ensemble_loss = mean[g, :2]
                of_members = mean[g, 2:].split(self.run.n_members)
                net.history.new_batch()
                net.history.record_batch("train_loss", loss.item())
                net.history.record_batch("train_batch_size", n_rows)
                net.history.record("train_batch_count", len(sizes))
                net.records_[True].add_means(n_rows, ensemble_loss, *of_members)
                # All of one epoch: each step took a batch of the stream.
                for outputs, y, n_of in [*self._last][-len(sizes) :]:
                    rows = slice(n_of[g])
                    net.records_[True].last_rows.add(outputs[g, :, rows], y[g, rows])

    @staticmethod
    def _is_healthy(group: Group) -> bool:
        try:
            group.net._check_finite()
        except DivergenceError as error:
            group.error = error
        return group.error is None

    def _validate(self, chosen: Sequence[int]) -> None:
        groups = [self.run.groups[g] for g in chosen]
        if groups[0].stream.iterator_valid is None:
            return
        collator = Collator(groups, validation=True)
        drawn = [stream.valid_batches() for stream in collator.streams]
        places = [collator.streams.index(group.stream) for group in groups]
        for key in sorted(set().union(*drawn)):
            # Streams may differ by a batch: one that lacks it computes another, which
            # is not looked at.
            rows = [batches.get(key, next(iter(batches.values()))) for batches in drawn]
            members = collator.streams[0].validated_on(key[0])
            batch = collator.collate(rows)
            terms = self.run.evaluate(chosen, batch, members)
            for g, (group, s) in enumerate(zip(groups, places, strict=True)):
                if key in drawn[s]:
                    own = terms.of_group(g, len(rows[s]))
                    self._notify_of_validation(group, rows[s], own, members)
        for group, s in zip(groups, places, strict=True):
            group.net.history.record("valid_batch_count", len(drawn[s]))

    def _notify_of_validation(
        self, group: Group, index: Tensor, terms: JointTerms, members: Tensor | None
    ) -> None:
        net, dataset = group.net, group.stream.dataset
        # Callbacks look at the targets; nobody looks at the rows once more.
        batch = Batch(dataset.rows(index[:0]), dataset.y[index.to(dataset.device)])
        loss = terms.ensemble_losses[0]
        net.notify("on_batch_begin", batch=batch, training=False)
        net.history.record_batch("valid_loss", loss.item())
        net.history.record_batch("valid_batch_size", len(index))
        net.notify(
            "on_batch_end",
            batch=batch,
            training=False,
            loss=loss,
            y_pred=terms.ensemble_output[0],
            terms=terms,
            members=members,
        )

    @staticmethod
    def _ends_with(group: Group) -> bool:
        """End the epoch of one ensemble; whether it was the last."""
        net = group.net
        if is_scheduled(net):
            # Schedules expect that the optimizer has been at work.
            net.optimizer_.step()
        try:
            with group.calling():
                net.notify("on_epoch_end", **group.stream.datasets)
        except KeyboardInterrupt as error:
            # How skorch stops a training early.
            if is_interrupt(error):
                raise
            return True
        return len(net.history) >= net.epochs_

    # -- who leaves ------------------------------------------------------------------

    def _finish(self, over: Sequence[int]) -> None:
        """Let these groups leave the program."""
        groups = self.run.groups
        for g in over:
            net = groups[g].net
            if groups[g].error is None:
                net.notify("on_train_end", X=groups[g].stream.dataset)
            net.is_training_ = False
        left = [g for g in range(len(groups)) if g not in set(over)]
        if left and is_scheduled(groups[left[0]].net):
            # All groups are at the end of the same epoch, with the same settings.
            self.run.follow(groups[left[0]].net.optimizer_)
        if over:
            self._keep(left)

    def _keep(self, left: Sequence[int]) -> None:
        self._figures = [figures[list(left)] for figures in self._figures]
        last = [
            (outputs[list(left)], y[list(left)], [sizes[g] for g in left])
            for outputs, y, sizes in self._last
        ]
        self._last = deque(last, self._last.maxlen)
        if left:
            self.run.keep(left)
        else:
            self.run.groups = []
        self._arrange()

    def _forget_figures(self) -> None:
        """Drop what no stream needs any more."""
        first = min(
            (self._start[stream] for stream in self.streams), default=len(self._figures)
        )
        del self._figures[:first]
        self._start = {stream: self._start[stream] - first for stream in self.streams}


def _figures_of(terms: JointTerms, sizes: Sequence[int]) -> Tensor:
    """Loss, ensemble loss, members' losses and accuracies, (n_groups, n_figures)."""
    correct = terms.member_correct
    figures = [terms.losses[:, None], terms.ensemble_losses[:, None]]
    figures.append(terms.member_losses)
    if correct is None:
        return torch.cat(figures, 1)
    if len(set(sizes)) == 1:
        accuracies = correct.sum(2) / sizes[0]
    else:
        n_rows = torch.tensor(sizes, device=correct.device)[:, None]
        real = torch.arange(correct.shape[2], device=correct.device) < n_rows
        accuracies = (correct & real[:, None]).sum(2) / n_rows
    return torch.cat([*figures, accuracies.to(terms.losses)], 1)
