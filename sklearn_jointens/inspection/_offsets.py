"""Offsets of members that cancel in their ensemble, and only make them look diverse."""

from collections.abc import Iterator

import numpy as np
import torch
from scipy.optimize import minimize
from sklearn.utils import gen_batches
from torch import Tensor

from sklearn_jointens.inspection._reading import Reading
from sklearn_jointens.losses import HeteroscedasticGaussian
from sklearn_jointens.losses._by_row import measured
from sklearn_jointens.losses._target import Target

# Natural parameters that offsets are found on, 128 MB of them, and rows at a time.
_MOST = 2**24
_PIECE_ROWS = 64

# Some rows: natural parameters, targets and weights of the rows.
_Piece = tuple[Tensor, Target, Tensor]


def cancelling_offsets(reading: Reading) -> Tensor:
    """What to subtract from each member so that the mean member loses least.

    Offsets have the mean 0 over members, so that the ensemble stays as it is. The
    problem is convex. Without these offsets all members have the same mean prediction:
    of numbers under the squared loss, they are each member's mean distance from the
    ensemble; of classes they are more than that, for members whose logits are spread
    differently are no better for having the same mean logit.

    Parameters
    ----------
    reading : Reading
        With targets. Where there are very many rows, every so many-th counts.

    Returns
    -------
    Tensor of shape (n_members, n_outputs, 1), dtype float64
    """
    pieces, family = list(_pieces(reading)), reading.family
    shape = pieces[0][0].shape[:2]
    n_rows = sum(len(weight) for *_, weight in pieces)
    is_free = torch.ones(shape[1])
    if isinstance(family, HeteroscedasticGaussian):
        is_free[shape[1] // 2 :] = 0  # precisions have to stay above 0

    def centred(numbers: Tensor) -> Tensor:
        return (numbers - numbers.mean(0)) * is_free

    def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        offsets = centred(torch.as_tensor(flat).view(shape)).unsqueeze(-1)
        loss, gradient = 0.0, torch.zeros(shape, dtype=torch.float64)
        for natural, target, weight in pieces:
            shifted = (natural - offsets).unsqueeze(0)
            nll, mean = family.nll_and_mean(shifted, target)
            loss += float((nll[0] @ weight).sum())
            # The statistic's part is the same for all members: it is centred away.
            gradient -= mean[0] @ weight
        return loss / n_rows, centred(gradient).numpy().ravel() / n_rows

    found = minimize(
        loss_and_gradient,
        np.zeros(shape.numel()),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 200, "ftol": 1e-10, "gtol": 1e-6},
    )
    return centred(torch.as_tensor(found.x).view(shape)).unsqueeze(-1)


def _pieces(reading: Reading) -> Iterator[_Piece]:
    """The rows that offsets are found on."""
    assert reading.encoded is not None
    for rows, natural in reading.chunks():
        step = -(-natural[..., 0].numel() * reading.n_rows // _MOST)
        start = -rows.start % step
        natural, y = natural[..., start::step], reading.encoded[rows][start::step]
        for some in gen_batches(len(y), _PIECE_ROWS):
            part, target = measured(natural[..., some], y[some], reading.family)
            weight = torch.ones(part.shape[-1], dtype=torch.float64)
            if target.weight is not None:
                weight = weight * target.weight[0, 0]
            yield part, target, weight
