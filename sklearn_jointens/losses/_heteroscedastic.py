"""The criterion of networks that say how sure they are of a number."""

import math

import torch
from torch import Tensor, nn


class HeteroscedasticGaussianLoss(nn.Module):
    """Negative log-likelihood of normal distributions with variances of their own.

    ``0.5 * ((y - mean)**2 / variance + log(variance))``, averaged over rows and
    outputs. torch's ``GaussianNLLLoss`` takes the variance as a third argument, which a
    skorch net has no place for; here a network puts out both.

    Parameters
    ----------
    full : bool, default=False
        Whether to add the constant ``0.5 * log(2 * pi)``, as torch's criterion does.

    Shape
    -----
    - Input: (n_samples, 2 * n_outputs), the means, then the logarithms of the variances
    - Target: (n_samples, n_outputs), or (n_samples,) with one output
    - Output: ()

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import HeteroscedasticGaussianLoss
    >>> output = torch.tensor([[1.0, 0.0], [3.0, 0.0]])  # variances of 1
    >>> HeteroscedasticGaussianLoss()(output, torch.tensor([1.0, 1.0]))
    tensor(1.)
    """

    reduction = "mean"

    def __init__(self, full: bool = False) -> None:
        super().__init__()
        self.full = full

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of a network's output."""
        mean, log_variance = output.chunk(2, dim=1)
        error = target.reshape(mean.shape) - mean
        loss = 0.5 * (error.square() * torch.exp(-log_variance) + log_variance).mean()
        return loss + 0.5 * math.log(2 * math.pi) if self.full else loss
