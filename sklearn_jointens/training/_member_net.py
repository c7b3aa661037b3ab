"""A member: the user's own skorch classifier, at home in scikit-learn.

skorch's classifiers predict class numbers, want float32 arrays, and are told the sizes
of their module by hand. A member net is of the prototype's own class and differs in
that alone: it speaks the labels it was trained on, takes any array, and fills in sizes.
"""

import copy
import functools
import inspect
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from scipy import sparse
from sklearn.base import BaseEstimator
from skorch import NeuralNetClassifier, NeuralNetRegressor
from skorch.dataset import Dataset, get_len
from skorch.history import History
from skorch.utils import to_tensor
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sklearn_jointens.training._batches import (
    SLICEABLE_OPTIONS,
    ArrayDataset,
    BatchSlicer,
    as_tensor,
    unwrap_subset,
)
from sklearn_jointens.training._copies import (
    cloned,
    derive_class,
    net_with,
    new_plain,
    resolve_device,
)
from sklearn_jointens.training._in_one_piece import in_one_piece, out_of_one_piece
from sklearn_jointens.training._module_arguments import (
    DTYPE_NAME,
    input_dtypes,
    sizes_from_data,
    weight_dtype,
)
from sklearn_jointens.training._prediction import check_row_count, prediction_family
from sklearn_jointens.training._rows import WeightedLoader, rows_in
from sklearn_jointens.training._seams import is_own
from sklearn_jointens.training._shown import ShownNet
from sklearn_jointens.training._splits import split_rows
from sklearn_jointens.training._targets import Targets, targets_of

if TYPE_CHECKING:
    from skorch import NeuralNet as _SkorchNet
else:
    _SkorchNet = object  # a mixin: the prototype's class comes behind it


class MemberNet(ShownNet, _SkorchNet):
    """What a member net adds to the prototype's own skorch class."""

    # Makes numbers of frames, where there is more to do than to take the numbers.
    columns_: Any = None

    # Set by `observe`: what y holds, and the sizes that the module takes from the data.
    targets_: Targets | None = None
    data_sizes_: dict[str, Any] | None = None
    device: Any
    init_context_: Any = None
    is_training_: bool = False

    # What a fit leaves behind, the data among it, and needs no more when it is over.
    names_of_a_fit = (
        "trained_",
        "scored_",
        "step_",
        "step_graph_",
        "records_",
        "some_members_",
    )
    # What only training needs does not travel with a pickle.
    transient_names = (*names_of_a_fit, "is_training_", "optimizer_", "vectorized_")

    def initialize(self) -> Any:
        self.device = resolve_device(self.device)
        return super().initialize()

    def observe(self, X: Any, targets: Targets) -> "MemberNet":
        """Take the sizes of the module from X and the targets, before initializing."""
        self.targets_ = targets
        self.data_sizes_ = sizes_from_data(X, targets.n_outputs)
        return self

    def sibling(self) -> "MemberNet":
        """Another member, initialized anew; what has no weights is shared.

        Several times faster than a net made from nothing, for ensembles of hundreds.
        """
        other = net_with(self)
        for name, value in self.__dict__.items():
            if name == "module" or name.startswith("module__"):
                other.__dict__[name] = cloned(value)
        other.__dict__.pop("optimizer_", None)
        other.history_ = History()
        other.build_module().to(self.device)
        return other

    def build_module(self) -> nn.Module:
        """Initialize the module alone, and return it."""
        self.init_context_ = "module"
        self.initialize_module()
        self.init_context_ = None
        return self.module_

    def get_params_for(self, prefix: str) -> dict[str, Any]:
        kwargs = super().get_params_for(prefix)
        if (
            prefix == "module"
            and self.data_sizes_ is not None
            and not isinstance(self.module, nn.Module)
        ):
            accepted = inspect.signature(self.module).parameters
            sizes = {k: v for k, v in self.data_sizes_.items() if k in accepted}
            if DTYPE_NAME in sizes:
                sizes[DTYPE_NAME] = getattr(torch, sizes[DTYPE_NAME])
            kwargs = {**sizes, **kwargs}
        if prefix.startswith("iterator_") and not self.is_training_:
            # Predicting leaves no row out.
            kwargs |= {"drop_last": False} if "drop_last" in kwargs else {}
        return kwargs

    @property
    def classes_(self) -> np.ndarray:
        if self.targets_ is None:
            return super().classes_
        classes: np.ndarray = self.targets_.classes
        return np.arange(len(classes)) if self.is_training_ else classes

    # -- data ------------------------------------------------------------------------

    def get_dataset(self, X: Any, y: Any = None) -> Any:
        if isinstance(X, torch.utils.data.Dataset):
            return X
        if y is not None and self.targets_ is not None:
            y = self.targets_.encode(y)
        if self.dataset is Dataset and not is_own(super().get_dataset):
            return self.array_dataset(X, y)
        dataset = super().get_dataset(X, y)
        if hasattr(dataset, "__len__"):
            check_row_count(len(dataset), get_len(X))
        return dataset

    def array_dataset(self, X: Any, y: Any = None) -> ArrayDataset:
        """Rows, and encoded targets, as a data set that can be sliced."""
        X = self.as_array(X)
        y = None if y is None else self.as_targets(y)
        return ArrayDataset(X, y, input_dtypes(self.module_).of(X), self.device)

    def as_targets(self, y: Any) -> Tensor:
        """Encoded targets as a tensor, whose floats are of the weights' dtype."""
        y = y if isinstance(y, Tensor) else as_tensor(np.asarray(y))
        if not y.is_floating_point():
            return y
        targets = y.to(weight_dtype(self.module_))
        is_finite = targets.isfinite()
        if not is_finite.all():
            raise ValueError(
                "The 'y' parameter must hold numbers that are finite in "
                f"{targets.dtype}, which the members compute in: of at most "
                f"{torch.finfo(targets.dtype).max:.2g}. "
                f"Got {y[~is_finite][0]:g} instead."
            )
        return targets

    def as_array(self, X: Any) -> Any:
        if sparse.issparse(X):
            return X.tocsr()
        if isinstance(X, np.ndarray | Tensor):
            return X
        return np.asarray(X) if self.columns_ is None else self.columns_.transform(X)

    def get_split_datasets(self, X: Any, y: Any = None, **params: Any) -> Any:
        return split_rows(self, self.get_dataset(X, y), y, params)

    def get_iterator(self, dataset: Any, training: bool = False) -> Any:
        name = "iterator_train" if training else "iterator_valid"
        options = self.get_params_for(name)
        base, _ = unwrap_subset(dataset)
        counts = rows_in(base).counts(training)
        weight = None if counts is None else as_tensor(counts).to(self.device)
        if (
            getattr(self, name) is DataLoader
            and isinstance(base, ArrayDataset)
            and SLICEABLE_OPTIONS.issuperset(options)
            and not is_own(super().get_iterator)
        ):
            options.setdefault("batch_size", self.batch_size)
            if options["batch_size"] == -1:
                options["batch_size"] = len(dataset)
            if not self.is_training_:
                options.setdefault("generator", torch.Generator())
            slicer = BatchSlicer(dataset, weight, **options)
            if training and not len(slicer):
                raise ValueError(
                    "The 'batch_size' parameter of the member must be at most "
                    f"{len(dataset)}, the number of training rows, with "
                    f"{name}__drop_last=True. Got {options['batch_size']} instead."
                )
            return slicer
        build = functools.partial(super().get_iterator, training=training)
        if not self.is_training_:
            return _without_global_draws(build(dataset))
        if weight is None:
            return build(dataset)
        return WeightedLoader(build, dataset, weight)

    def forget_fit(self) -> None:
        """Let go of the data of the last fit, and of what was computed of them."""
        for name in self.names_of_a_fit:
            vars(self).pop(name, None)

    def move_to(self, device: Any) -> "MemberNet":
        """Predict on `device` from now on."""
        self.device = device
        self.module_.to(device)
        self.criterion_.to(device)
        return self

    # -- training alone and predicting -----------------------------------------------

    def fit(self, X: Any, y: Any, **fit_params: Any) -> Any:
        if not isinstance(X, torch.utils.data.Dataset) and y is not None:
            y = np.asarray(y)
            X = X if hasattr(X, "dtype") else np.asarray(X)
            self.observe(X, targets_of(self, y))
        return super().fit(X, y, **fit_params)

    def partial_fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        if self.initialized_ and "optimizer_" not in self.__dict__:
            self.init_context_ = "optimizer"
            self.initialize_optimizer()
            self.init_context_ = None
        return super().partial_fit(X, y, **params)

    def fit_loop(self, X: Any, y: Any = None, epochs: Any = None, **params: Any) -> Any:
        # While it trains, callbacks compare with encoded targets.
        self.is_training_ = True
        try:
            return super().fit_loop(X, y, epochs=epochs, **params)
        finally:
            self.is_training_ = False

    def get_loss(self, y_pred: Any, y_true: Any, *args: Any, **kwargs: Any) -> Tensor:
        if self.targets_ is not None:
            y_true = self.targets_.beside(to_tensor(y_true, self.device), y_pred)
        return super().get_loss(y_pred, y_true, *args, **kwargs)

    def _get_predict_nonlinearity(self) -> Any:
        if self.predict_nonlinearity == "auto" and self.targets_ is not None:
            own = self.targets_.nonlinearity(self.targets_.family(self.criterion_))
            if own is not None:
                return own
        return super()._get_predict_nonlinearity()

    def predict(self, X: Any) -> np.ndarray:
        if self.targets_ is None:
            return super().predict(X)
        family = prediction_family(self, self.targets_.family(self.criterion_))
        decided = self.targets_.decide(family, self.predict_proba(X))
        # While it trains, callbacks compare with encoded targets.
        return decided if self.is_training_ else self.targets_.decode(decided)

    def __reduce__(self) -> Any:
        # A class made here cannot be imported: the state says what it is made of.
        cls = type(self)
        known = cls.mixin if "prototype_class" in cls.__dict__ else cls
        return new_plain, (known,), self.__getstate__()

    def __getstate__(self) -> Any:
        light = net_with(self)
        for name in self.transient_names:
            light.__dict__.pop(name, None)
        # Weights travel on the CPU, so that any machine can load them; the settings of
        # an unfitted net stay as they are, "auto" included.
        asked = None if self.initialized_ else self.device
        if self.initialized_ and self.device != "cpu":
            for name in ("module_", "criterion_"):
                light.__dict__[name] = copy.deepcopy(light.__dict__[name]).cpu()
        light.__dict__["device"] = "cpu"
        # Apart from the rest: skops holds no module and no dtype.
        known = self.cuda_dependent_attributes_
        light.__dict__["cuda_dependent_attributes_"] = []
        state = super(MemberNet, light).__getstate__()
        names = [name for name in state if name.startswith((*known, "module__"))]
        state["in_one_piece_"] = in_one_piece({n: state.pop(n) for n in names})
        if "prototype_class" in type(self).__dict__:
            state["prototype_class_"] = self.prototype_class
        return {**state, "cuda_dependent_attributes_": known, "asked_device_": asked}

    def __setstate__(self, state: Any) -> None:
        state = {**state, **out_of_one_piece(state["in_one_piece_"])}
        del state["in_one_piece_"]
        asked = state.pop("asked_device_")
        if "prototype_class_" in state:
            mixin: Any = getattr(type(self), "mixin", type(self))
            self.__class__ = derive_class(mixin, state.pop("prototype_class_"))
        super().__setstate__(state)
        if asked is not None:
            self.device = asked


def _without_global_draws(iterator: Any) -> Any:
    """An iterator that takes its workers' seed from nobody else's generator."""
    if isinstance(iterator, DataLoader) and iterator.generator is None:
        iterator.generator = torch.Generator()
    return iterator


class _AtHome(MemberNet):
    """A net that shows of its parameters, which are skorch's, those that were changed.

    Each class has an ``__init__``, whose signature says what the others are.
    """

    __repr__ = BaseEstimator.__repr__

    def get_params(self, deep: bool = True, **kwargs: Any) -> dict[str, Any]:
        params = super().get_params(deep=deep, **kwargs)
        # The names of others, which skorch takes for a parameter.
        del params["_params_to_validate"]
        return params


class MemberNetClassifier(_AtHome, NeuralNetClassifier):
    """A skorch ``NeuralNetClassifier`` that is at home in scikit-learn.

    It takes labels of any type, any numeric array, sparse matrix or frame, fills in
    the sizes of its module from the data, and slices batches in one step. Everything
    else, parameters included, is skorch's.
    """

    def __init__(self, module: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(module, *args, **kwargs)


class MemberNetRegressor(_AtHome, NeuralNetRegressor):
    """A skorch ``NeuralNetRegressor`` that is at home in scikit-learn.

    It takes y of shape (n_samples,) and gives predictions of that shape, takes any
    numeric array, sparse matrix or frame, fills in the sizes of its module from the
    data, and slices batches in one step. Everything else, parameters included, is
    skorch's.
    """

    def __init__(self, module: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(module, *args, **kwargs)
