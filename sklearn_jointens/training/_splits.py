"""What a `train_split` makes of the rows, with the targets encoded."""

from typing import Any

import numpy as np
import torch
from skorch.dataset import Dataset
from skorch.utils import data_from_dataset
from torch.utils.data import TensorDataset

from sklearn_jointens.training._batches import unwrap_subset
from sklearn_jointens.training._module_arguments import input_dtypes
from sklearn_jointens.training._rows import rows_in


def split_rows(net: Any, given: Any, y: Any, params: dict[str, Any]) -> tuple[Any, Any]:
    """Data sets to train on and to validate on; the latter may be None.

    Parameters
    ----------
    net : MemberNet
    given : torch Dataset
        All rows, with the targets encoded.
    y : ndarray of shape (n_samples,) or None
        Labels.
    params : dict
        Further arguments of the `train_split`.

    Raises
    ------
    ValueError
        Rows have weights and others are trained on, or a label is none of y's.
    """
    if not net.train_split:
        return given, None
    train, valid = net.train_split(given, *(() if y is None else (y,)), **params)
    own, _ = unwrap_subset(given)
    is_weighted = rows_in(given).counts(training=True) is not None
    if is_weighted and unwrap_subset(train)[0] is not own:
        raise ValueError(
            "The 'train_split' parameter of the member must return the data set that "
            "it is given, or a Subset of it, to train on, when rows have weights "
            "(sample_weight, class_weight, bootstrap). "
            f"Got an instance of {type(train).__name__} instead."
        )
    return _encoded(net, train, own), _encoded(net, valid, own)


def _encoded(net: Any, dataset: Any, own: Any) -> Any:
    """A data set with targets; those of the net's own rows are encoded already."""
    if dataset is None or net.targets_ is None or _holds(dataset, own):
        return dataset
    base, rows = unwrap_subset(dataset)
    if type(base) not in (Dataset, TensorDataset) or net.dataset is not Dataset:
        labels = np.array([dataset[i][1] for i in range(len(dataset))])
        return _Encoded(net, dataset, _encode(net, labels))
    X, labels = data_from_dataset(base)
    X, labels = net.as_array(X), np.asarray(labels)
    if rows is not None:
        X, labels = X[rows.numpy()], labels[rows.numpy()]
    return net.array_dataset(X, _encode(net, labels))


def _holds(dataset: Any, given: Any) -> bool:
    """Whether a data set is the given one, or made of it: Subsets and other wraps."""
    if dataset is given:
        return True
    parts: list[Any] = []
    for value in vars(dataset).values():
        parts += value if isinstance(value, list | tuple) else [value]
    return any(
        _holds(part, given)
        for part in parts
        if isinstance(part, torch.utils.data.Dataset)
    )


def _encode(net: Any, labels: np.ndarray) -> np.ndarray:
    labels = labels.reshape(len(labels), *net.targets_.row_shape)
    unknown = net.targets_.unknown_in(labels)
    if unknown:
        raise ValueError(
            "The 'train_split' parameter of the member must give data sets whose "
            f"labels are among those of y, {net.targets_.known.tolist()}. "
            f"Got {unknown} besides."
        )
    return net.targets_.encode(labels)


class _Encoded(torch.utils.data.Dataset):
    """A user's data set, with encoded targets and rows in the dtype members take."""

    def __init__(self, net: Any, dataset: Any, y: np.ndarray) -> None:
        self.dataset, self.y = dataset, y
        self.dtype = input_dtypes(net.module_).of(np.asarray(dataset[0][0]))

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> tuple[Any, Any]:
        X, _ = self.dataset[i]
        return torch.as_tensor(X).to(self.dtype), self.y[i]
