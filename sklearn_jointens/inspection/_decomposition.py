"""`diversity_decomposition`: what the ensemble gains over its members."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.base import is_classifier
from sklearn.utils import Bunch
from torch import Tensor

from sklearn_jointens._compat import StrOptions, validate_params
from sklearn_jointens.inspection._reading import Reading, unwrapped
from sklearn_jointens.losses import BernoulliLabels, Family
from sklearn_jointens.losses._by_row import row_diversity, row_losses


@validate_params(
    {"by": [StrOptions({"row", "class"}), None]}, prefer_skip_nested_validation=True
)
def diversity_decomposition(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sample_weight: Any = None,
    by: str | None = None,
) -> Bunch:
    """Loss of the ensemble, its members' mean loss, and the diversity between.

    ``ensemble_loss = member_loss - diversity`` (Webb et al. [1]_, eq. 5). Each is
    computed by itself, the diversity from the members' outputs alone (Huber losses
    excepted, whose diversity depends on y). The loss is the criterion's own, with its
    ``weight``, label smoothing or ``pos_weight``: of classes and labels in nats, of
    numbers in the units that y is learned in, as in `history_`. Weights that rows had
    in training, of `class_weight` too, count only when they are given again.

    Parameters
    ----------
    estimator : object
        A fitted ensemble; a search that has refitted one; or a pipeline that ends in
        one of them.
    X : array-like or sparse matrix of shape (n_samples, ...)
        Predicted in chunks of rows.
    y : array-like of shape (n_samples,) or (n_samples, n_targets)
        Targets, as the ensemble has learned them.
    sample_weight : array-like of shape (n_samples,), default=None
        Weights of the rows.
    by : {"row", "class"} or None, default=None
        ``None`` is of all rows, as floats. "row" is what the criterion says of each row
        alone, and "class" of the rows of each class (of several labels: of each label),
        as arrays.

    Returns
    -------
    decomposition : Bunch
        With n_groups rows, classes or labels:

        ensemble_loss : float or ndarray of shape (n_groups,)
            NaN of classes that y does not hold.
        member_loss : float or ndarray of shape (n_groups,)
            Mean of the members' own losses.
        diversity : float or ndarray of shape (n_groups,)
            At least 0.
        member_losses : ndarray of shape (n_members,) or (n_members, n_groups)
            Of each member.
        weight : float or ndarray of shape (n_groups,)
            What the criterion weighs a group with: ``np.average(..., weights=weight)``
            of a loss by row or class is the loss of all rows.
        classes : ndarray of shape (n_groups,)
            With ``by="class"``; numbers of the labels, if there are several.

    Raises
    ------
    ValueError
        A parameter is not valid, or ``by="class"`` is asked of a regressor.
    TypeError
        There is no ensemble in `estimator`.

    See Also
    --------
    uncertainty : Diversity where y is not known.
    sklearn_jointens.losses.diversity : Of logits.

    References
    ----------
    .. [1] A. Webb, C. Reynolds, W. Chen, H. Reeve, D. Iliescu, M. Lujan, G. Brown. "To
       Ensemble or Not Ensemble: When does End-To-End Training Fail?", ECML PKDD 2020.

    Examples
    --------
    >>> from sklearn.datasets import load_iris
    >>> from sklearn_jointens import JointEnsembleClassifier, mlp_classifier
    >>> from sklearn_jointens.inspection import diversity_decomposition
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = JointEnsembleClassifier(mlp_classifier((2,)), lam=0.9, random_state=0)
    >>> parts = diversity_decomposition(clf.fit(X, y), X, y)
    >>> print(f"{parts.member_loss:.2f} - {parts.diversity:.2f}")
    0.97 - 0.34
    >>> print(f"= {parts.ensemble_loss:.2f}")
    = 0.63
    >>> diversity_decomposition(clf, X, y, by="class").diversity.round(1)
    array([0.2, 0.3, 0.5])
    """
    (ensemble,) = unwrapped("diversity_decomposition", estimator)
    if by == "class" and not is_classifier(ensemble):
        raise ValueError(
            "The 'by' parameter of diversity_decomposition must be 'row' or None for a "
            f"{type(ensemble).__name__}. Got 'class' instead."
        )
    reading = Reading("diversity_decomposition", estimator, X, y, sample_weight)
    n_groups = {None: 1, "row": reading.n_rows, "class": reading.targets.n_predicted}
    sums = torch.zeros(reading.n_members + 3, n_groups[by], dtype=torch.float64)
    of_rows = torch.as_tensor(reading.weights())
    for rows, natural in reading.chunks():
        # A row alone is what it is, whatever it weighs.
        weight = 1 if by == "row" else of_rows[rows]
        for groups, terms in _terms(reading, rows, natural, by):
            sums.index_add_(1, groups, terms * weight)
    result = _means(sums)
    if by is None:
        member_losses = result.pop("member_losses")[:, 0]
        floats = {name: float(values[0]) for name, values in result.items()}
        return Bunch(**floats, member_losses=member_losses)
    if by == "class":
        return Bunch(**result, classes=ensemble.classes_)
    result["weight"] *= reading.weights()
    return Bunch(**result)


def _terms(
    reading: Reading, rows: slice, natural: Tensor, by: str | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """The groups that rows belong to, and what they add to the sums of these."""
    assert reading.encoded is not None
    y, family = reading.encoded[rows], reading.family
    if by == "class" and isinstance(family, BernoulliLabels):
        for j, of_label in enumerate(natural.split(1, dim=1)):
            of_rows = _terms_of_rows(of_label, y[:, j : j + 1], family.of_label(j))
            yield torch.full((len(y),), j), of_rows
        return
    if by == "class":
        groups = y.long()
    elif by == "row":
        groups = torch.arange(rows.start, rows.stop)
    else:
        groups = torch.zeros(len(y), dtype=torch.int64)
    yield groups, _terms_of_rows(natural, y, family)


def _terms_of_rows(natural: Tensor, y: Tensor, family: Family) -> Tensor:
    """Divisor, diversity, and losses of ensemble and members: (n_members + 3, n)."""
    natural = natural.double()
    both = torch.cat([natural.mean(0, keepdim=True), natural])
    losses, divisors = row_losses(both, y, family)
    return torch.cat([divisors[None], row_diversity(natural, y, family)[None], losses])


def _means(sums: Tensor) -> dict[str, np.ndarray]:
    """Of sums over the rows of each group."""
    weight, diversity, ensemble_loss, *members = sums.numpy()
    with np.errstate(invalid="ignore"):  # of classes without rows
        member_losses = np.stack(members) / weight
        return {
            "ensemble_loss": ensemble_loss / weight,
            "member_loss": member_losses.mean(0),
            "diversity": diversity / weight,
            "member_losses": member_losses,
            "weight": weight,
        }
