"""The skorch net that trains all members as one program.

`JointNet` is the prototype's own class with the joint loss in place of its criterion's:
skorch's loop, optimizer, callbacks and history work as they do for one network, and see
the ENSEMBLE wherever a network is predicted with or scored.
"""

import functools
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from skorch import NeuralNet
from skorch.dataset import unpack_data
from skorch.utils import to_tensor
from torch import Tensor
from tqdm.auto import tqdm

from sklearn_jointens.losses import Family, joint_terms
from sklearn_jointens.nn import VectorizedModule
from sklearn_jointens.training._batches import Batch
from sklearn_jointens.training._callbacks import (
    EpochLog,
    FitProgress,
    for_each_member,
)
from sklearn_jointens.training._copies import derived_net
from sklearn_jointens.training._dominance import warn_of_dominance
from sklearn_jointens.training._ending import mark_restored
from sklearn_jointens.training._epoch import (
    Step,
    end_epoch,
    lone_rows_explained,
    run_without_waiting,
)
from sklearn_jointens.training._folds import FoldSlicer, SomeMembers
from sklearn_jointens.training._heap import steady_heap
from sklearn_jointens.training._interrupts import is_interrupt
from sklearn_jointens.training._member_net import MemberNet
from sklearn_jointens.training._module_arguments import input_dtypes
from sklearn_jointens.training._optimizer import can_fuse
from sklearn_jointens.training._precision import forward_precision, training_precision
from sklearn_jointens.training._prediction import (
    has_own_batches,
    natural_chunks,
    prediction_family,
)
from sklearn_jointens.training._record import EpochRecord
from sklearn_jointens.training._rows import MemberRows, rows_in
from sklearn_jointens.training._seams import overrides
from sklearn_jointens.training._step_graph import StepGraph, step_graph
from sklearn_jointens.training._targets import Targets


class DivergenceError(FloatingPointError):
    """The training loss became NaN or infinite."""


class JointNet(MemberNet):
    """What `JointNet` adds to the prototype's own class; see `joint_net`."""

    # Wrapped in a tuple: skorch wants modules to be set by `initialize_module` alone.
    vectorized_: tuple[VectorizedModule]
    family_: Family
    # Of what is predicted: the same, unless it `transforms_members`.
    prediction_family_: Family = Family()
    lam_: float
    precision_: str | None = None
    callbacks_: list[tuple[str, Any]]

    # Whether training came to its end, by itself or as somebody's code wanted. After
    # Ctrl-C, from which skorch returns as from any end, it did not; None is before.
    has_ended_: bool | None = None
    has_warned_: bool = False  # of a member that dominates

    # Who is told of epochs and of the end, besides skorch's callbacks; see `Watch`.
    watch_: Any = None

    # How the steps of the last fit were taken, and why; see `step_graph`.
    stepping_: str
    step_graph_: StepGraph | None = None
    step_: Any = None  # the one that is being taken
    trained_: Any = None  # the data set whose rows the steps are of

    def get_default_callbacks(self) -> list[Any]:
        callbacks = []
        for name, callback in super().get_default_callbacks():
            if name == "print_log":
                sink = tqdm.write if self.verbose else print
                callback = EpochLog(keys_ignored=EpochRecord.QUIET, sink=sink)
            callbacks.append((name, callback))
        if self.verbose:
            callbacks.append(("fit_progress", FitProgress()))
        return callbacks

    def initialize_callbacks(self) -> "JointNet":
        super().initialize_callbacks()
        self.callbacks_ = [
            (name, for_each_member(callback)) for name, callback in self.callbacks_
        ]
        return self

    def initialize_module(self) -> "JointNet":
        (self.module_,) = self.vectorized_
        return self

    @property
    def plain_module(self) -> VectorizedModule:
        """The module without the wrapper of torch.compile."""
        return getattr(self.module_, "_orig_mod", self.module_)

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        self.vectorized_ = (self.plain_module,)

    def get_all_learnable_params(self) -> Iterator[tuple[str, Tensor]]:
        """Members' own parameter names, so that the prototype's patterns match."""
        yield from self.plain_module.named_parameters()

    def get_params_for_optimizer(
        self, prefix: str, named_parameters: Any
    ) -> tuple[Any, dict[str, Any]]:
        args, options = super().get_params_for_optimizer(prefix, named_parameters)
        if can_fuse(self, options):
            options["fused"] = True
        return args, options

    def get_split_datasets(self, X: Any, y: Any = None, **params: Any) -> Any:
        dataset = self.get_dataset(X, y)
        if rows_in(dataset).folds is None:
            return super().get_split_datasets(dataset, y, **params)
        # Members learn from the rows that their weights say.
        return dataset, dataset

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        iterator = super().get_iterator(dataset, training=training)
        folds = rows_in(dataset).folds
        return iterator if training or folds is None else FoldSlicer(iterator, folds)

    # -- one step --------------------------------------------------------------------

    def infer(self, x: Any, **fit_params: Any) -> Tensor:
        """Outputs of all members, (n_members, n_samples, ...)."""
        in_training = self.is_training_ and self.module_.training
        precision = self.precision_ if in_training else None
        with forward_precision(precision, self.device):
            if overrides(self, "infer"):
                outputs = super().infer(x, **fit_params)
            else:
                # skorch's binary `infer` would flatten the members away.
                outputs = NeuralNet.infer(self, x, **fit_params)
        return outputs[0] if isinstance(outputs, tuple) else outputs

    def get_loss(
        self, y_pred: Tensor, y_true: Any, X: Any = None, training: bool = False
    ) -> Tensor:
        """Joint loss in training; the ensemble's own loss in validation."""
        y = to_tensor(y_true, device=self.device)
        # The loss is reported as it is, and its gradient is a member's own: eq. 4
        # divides it by the number of members, which would tie lr to their number.
        step = self.step_ or Step(None, {})
        terms = joint_terms(
            y_pred,
            y.unsqueeze(0),
            self.lam_,
            None if step.weight is None else step.weight.unsqueeze(0),
            self.family_,
            gradient_scale=len(y_pred),
            predicting=self.prediction_family_,
        )
        step.found.update(y_pred=terms.ensemble_output[0], terms=terms)
        return terms.loss if training else terms.ensemble_losses[0]

    def train_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        if self.step_graph_ is not None:
            return self.step_graph_.run(batch, fit_params)
        return self._ensemble_step(super().train_step, batch, fit_params, True)

    def train_step_single(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        return self._ensemble_step(super().train_step_single, batch, fit_params, True)

    def validation_step(self, batch: Any, **fit_params: Any) -> dict[str, Any]:
        members = getattr(batch, "members", None)
        if members is None:
            return self._ensemble_step(super().validation_step, batch, fit_params)
        everybody = self.module_
        self.__dict__["module_"] = self.some_members_.of(self.plain_module, members)
        try:
            step = self._ensemble_step(super().validation_step, batch, fit_params)
        finally:
            self.__dict__["module_"] = everybody
        return {**step, "members": members}

    def _ensemble_step(
        self,
        step_fn: Any,
        batch: Any,
        fit_params: dict[str, Any],
        training: bool = False,
    ) -> dict[str, Any]:
        if (
            training
            and not isinstance(batch, Batch)
            and rows_in(self.trained_).counts(training=True) is not None
        ):
            raise ValueError(
                "The member's class must train on the batches of its iterators as they "
                "are when rows have weights (sample_weight, class_weight, bootstrap). "
                f"Got batches of {type(batch).__name__} instead, which have none."
            )
        # Not as an attribute, which skorch looks through its parameters for.
        vars(self).update(step_=Step(getattr(batch, "weight", None), {}))
        step = step_fn(batch, **fit_params)
        if not self.step_.found:
            raise ValueError(
                "The member's class must compute the loss with 'get_loss', which is "
                "that of all members. Got other steps of "
                f"{type(self).prototype_class.__name__} instead."
            )
        return step if "terms" in step else {**step, **self.step_.found}

    def evaluation_step(self, batch: Any, training: bool = False) -> Tensor:
        outputs = super().evaluation_step(batch, training=training)
        family = self.prediction_family_
        return family.output(family.natural(outputs).mean(0))

    def _get_predict_nonlinearity(self) -> Any:
        if self.prediction_family_.transforms_members:
            return torch.nn.Identity()  # steps put out probabilities
        return super()._get_predict_nonlinearity()

    # -- one epoch -------------------------------------------------------------------

    def fit_loop(
        self,
        X: Any,
        y: Any = None,
        epochs: Any = None,
        rows: MemberRows | None = None,
        **params: Any,
    ) -> Any:
        self.epochs_ = self.max_epochs if epochs is None else epochs
        self.has_ended_ = has_ended = False
        steady_heap()
        try:
            if rows is not None and any(part is not None for part in rows):
                X = rows.given_to(self.get_dataset(X, y))
            with step_graph(self, super().train_step) as self.step_graph_:
                super().fit_loop(X, y, epochs=epochs, **params)
            has_ended = True
        except BaseException as error:
            has_ended = not is_interrupt(error)
            raise
        finally:
            self.step_graph_ = None
            # The last, and without a call: there is no Ctrl-C that this does not know.
            self.__dict__["has_ended_"] = has_ended
        return self

    def run_single_epoch(
        self, iterator: Any, training: bool, prefix: str, step_fn: Any, **params: Any
    ) -> None:
        if iterator is None:
            return
        run = super().run_single_epoch
        is_stock = run.__func__ is NeuralNet.run_single_epoch
        if is_stock and torch.device(self.device).type != "cpu":
            run = functools.partial(run_without_waiting, self)
        with (
            training_precision(self.precision_ if training else None),
            lone_rows_explained(self.batch_size),
        ):
            run(iterator, training, prefix, step_fn, **params)
        if training:
            self._check_finite()

    def _check_finite(self) -> None:
        losses = self.history[-1, "batches", :, "train_loss"]
        if not np.isfinite(losses).all():
            raise DivergenceError(
                f"The training loss became {losses[-1]} in epoch {len(self.history)} "
                f"(lr={self.lr}, lam={self.lam_}). Lower the member's 'lr', or scale X "
                "(StandardScaler), and numbers in y, or clip gradients."
            )

    def on_train_begin(self, net: Any, X: Any = None, y: Any = None, **kw: Any) -> None:
        super().on_train_begin(net, X=X, y=y, **kw)
        self.some_members_ = SomeMembers()
        self.records_ = {
            True: EpochRecord("train", self.family_),
            False: EpochRecord("valid"),
        }

    def on_epoch_begin(
        self, net: Any, dataset_train: Any = None, dataset_valid: Any = None, **kw: Any
    ) -> None:
        if self.watch_ is not None:
            self.watch_.begin_epoch()
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kw)
        for record in self.records_.values():
            record.clear()
        self.trained_ = dataset_train
        # What the members are scored on afterwards.
        self.scored_ = dataset_train if dataset_valid is None else dataset_valid

    def on_batch_end(
        self, net: Any, batch: Any = None, training: bool = False, **step: Any
    ) -> None:
        vars(self).pop("step_", None)
        super().on_batch_end(net, batch=batch, training=training, **step)
        terms, record = step["terms"], self.records_[training]
        record.add(terms, step.get("members"))
        if training:
            record.last_rows.add(terms.member_outputs[0], unpack_data(batch)[1])

    def on_epoch_end(self, net: Any, **kw: Any) -> None:
        super().on_epoch_end(net, **kw)
        for record in self.records_.values():
            for name, value in record.scalars().items():
                self.history.record(name, value)

    def notify(self, method_name: str, **kwargs: Any) -> None:
        if method_name == "on_epoch_end":
            end_epoch(self, functools.partial(super().notify, method_name, **kwargs))
            warn_of_dominance(self)
            return
        super().notify(method_name, **kwargs)
        if method_name == "on_train_end":
            mark_restored(self)
            if self.watch_ is not None:
                self.watch_.end(self)

    # -- predicting ------------------------------------------------------------------

    def natural_iter(
        self, data: Any, members: Any = None
    ) -> Iterator[tuple[Tensor, Tensor | None]]:
        """Natural parameters of all members, a chunk of rows at a time.

        Parameters
        ----------
        data : ndarray or CSR array of shape (n_samples, ...), or Dataset
        members : array-like of int or None, default=None
            Only these members run; ``None`` is all.

        Yields
        ------
        natural : Tensor of shape (n_members, n_outputs, n_rows)
        y : Tensor of shape (n_rows,) or None
            Encoded targets of the rows of a data set.
        """
        return natural_chunks(self, data, members)


def joint_net(
    prototype: Any,
    vectorized: VectorizedModule,
    family: Family,
    lam: float,
    targets: Targets,
    precision: str | None = None,
    **params: Any,
) -> Any:
    """An initialized `JointNet` of the prototype's own class and settings.

    Parameters
    ----------
    prototype : skorch net
        Its class, optimizer, callbacks, iterators and all other settings are used.
    vectorized : VectorizedModule
        All members as one module; it is trained in place.
    family : Family
        Of the prototype's criterion.
    lam : float in [0, 1]
    targets : Targets
        What y holds.
    precision : {"tf32", "bf16"} or None, default=None
        Of training: TensorFloat-32 on CUDA, or bfloat16 in the forward pass.
    **params : dict
        Settings of the net that replace the prototype's.

    Returns
    -------
    JointNet
        Train it with ``partial_fit``.
    """
    net = derived_net(prototype, JointNet)
    net.set_params(**params)
    net.vectorized_ = (vectorized,)
    net.lam_ = lam
    net.precision_ = precision
    net.targets_ = targets
    net.initialize()
    predicting = net.prediction_family_ = prediction_family(net, family)
    net.family_ = family if predicting.transforms_members else predicting
    net.has_own_batches_ = has_own_batches(net)
    net.input_dtypes_ = input_dtypes(vectorized)
    return net
