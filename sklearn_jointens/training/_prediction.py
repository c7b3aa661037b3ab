"""Predicting with all members at once: rows in batches, and what is made of outputs."""

from collections.abc import Iterator
from typing import Any

import torch
from skorch import NeuralNetBinaryClassifier
from skorch.dataset import Dataset, unpack_data
from skorch.utils import to_tensor
from torch import Tensor
from torch.utils.data import DataLoader

from sklearn_jointens.losses import Family
from sklearn_jointens.training._batches import (
    SLICEABLE_OPTIONS,
    ArrayDataset,
    BatchSlicer,
    chunk_size,
    row_chunks,
    unwrap_subset,
)
from sklearn_jointens.training._copies import net_with
from sklearn_jointens.training._seams import overrides


def prediction_family(net: Any, family: Family) -> Family:
    """The family of what a net predicts: its loss's, unless the prototype says more.

    Parameters
    ----------
    net : skorch net
        Initialized.
    family : Family
        Of its criterion.
    """
    nonlinearity = threshold = None
    if isinstance(net, NeuralNetBinaryClassifier):
        threshold = float(net.threshold)
    if net.predict_nonlinearity != "auto" or overrides(
        net, "_get_predict_nonlinearity"
    ):
        nonlinearity = net._get_predict_nonlinearity()
    return family.with_nonlinearity(nonlinearity, threshold)


def has_own_batches(net: Any) -> bool:
    """Whether a net predicts rows in batches that are made in the user's own way."""
    return bool(own_batches(net))


def own_batches(net: Any) -> list[str]:
    """Names of the parameters and methods that make a net's batches in such a way."""
    options = net.get_params_for("iterator_valid").keys() - SLICEABLE_OPTIONS
    return [
        *(["dataset"] if net.dataset is not Dataset else []),
        *(["iterator_valid"] if net.iterator_valid is not DataLoader else []),
        *(name for name in ("get_dataset", "get_iterator") if overrides(net, name)),
        *(f"iterator_valid__{name}" for name in sorted(options)),
    ]


def natural_chunks(
    net: Any, data: Any, members: Any = None
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """What `JointNet.natural_iter` yields."""
    # As it is: compiled, it would be compiled again for every size of a chunk.
    module = net.plain_module
    module = module if members is None else module.select(members)
    module.eval()
    infer = net_with(net, module_=module).infer if overrides(net, "infer") else module
    for rows, y in _batches(net, data, module):
        # Not around the loop: what comes between two chunks is not ours.
        with torch.inference_mode():
            outputs = infer(rows)
            outputs = outputs[0] if isinstance(outputs, tuple) else outputs
            natural = net.prediction_family_.natural(outputs)
        yield natural, y


def _batches(
    net: Any, data: Any, module: Any
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Successive rows, and their targets where the data has them."""
    is_dataset = isinstance(data, torch.utils.data.Dataset)
    if not is_dataset and not net.has_own_batches_:
        size, dtype = chunk_size(module, data), net.input_dtypes_.of(data)
        for rows in row_chunks(data, size, dtype, net.device):
            yield rows, None
        return
    n_rows = len(data) if is_dataset else data.shape[0]
    dataset = data if is_dataset else net.get_dataset(data)
    base, _ = unwrap_subset(dataset)
    if isinstance(base, ArrayDataset) and not net.has_own_batches_:
        batches: Any = BatchSlicer(
            dataset,
            batch_size=chunk_size(module, base),
            generator=torch.Generator(),  # not torch's own, which others draw from
        )
    else:
        batches = net.get_iterator(dataset)
    n_given = 0
    for batch in batches:
        rows, y = to_tensor(unpack_data(batch), device=net.device)
        n_given += len(rows)
        if n_given > n_rows:
            break
        yield rows, y
    check_row_count(n_given, n_rows)


def check_row_count(n_given: int, n_rows: int) -> None:
    """Raise unless batches gave as many rows as there are."""
    if n_given != n_rows:
        raise ValueError(
            "The 'dataset' and 'iterator_valid' parameters of the member must give "
            f"each row of X once. Got {n_given} rows for {n_rows} rows of X instead."
        )


def rows_as_predicted(net: Any, X: Any) -> Tensor:
    """Rows of X as they are predicted, each of which has to come once, in its place.

    Parameters
    ----------
    net : MemberNet
        Initialized.
    X : ndarray or CSR array of shape (n_samples, ...)
        A few rows.

    Raises
    ------
    ValueError
        The prototype's data sets or iterators give other rows, or another order.
    """
    rows, iterator = _rows(net, X)
    if not has_own_batches(net):
        return rows
    check_row_count(len(rows), X.shape[0])
    is_ordered = _order(iterator, X.shape[0]) == list(range(X.shape[0]))
    if is_ordered:
        alone = [_rows(net, X[i : i + 1])[0] for i in range(X.shape[0])]
        is_ordered = not _are_permuted(rows, torch.cat(alone))
    if not is_ordered:
        raise ValueError(
            "The 'dataset' and 'iterator_valid' parameters of the member must give the "
            "rows of X in their order, in which predictions are returned. "
            "Got another order instead."
        )
    return rows


def _rows(net: Any, X: Any) -> tuple[Tensor, Any]:
    iterator = net.get_iterator(net.get_dataset(X))
    batches = [unpack_data(batch)[0] for batch in iterator]
    kinds = [type(rows).__name__ for rows in batches if not isinstance(rows, Tensor)]
    if kinds:
        raise ValueError(
            "The 'dataset' and 'iterator_valid' parameters of the member must give "
            f"the rows of a batch as one tensor. Got {kinds[0]} instead."
        )
    rows = torch.cat(batches) if batches else torch.empty(0)
    return to_tensor(rows, device=net.device), iterator


def _order(iterator: Any, n_rows: int) -> list[int]:
    """Places of the rows that a DataLoader gives; others are taken at their word."""
    if not isinstance(iterator, DataLoader):
        return list(range(n_rows))
    if iterator.batch_sampler is None:
        return list(iterator.sampler)
    return [i for batch in iterator.batch_sampler for i in batch]


def _are_permuted(rows: Tensor, others: Tensor) -> bool:
    """Whether rows are the same as others in another order."""
    if rows.shape != others.shape or torch.equal(rows, others):
        return False
    return torch.equal(rows.unique(dim=0), others.unique(dim=0))
