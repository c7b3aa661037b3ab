"""The criterion of networks that say how sure they are of a number."""

import math

import torch
from torch import Tensor, nn


class HeteroscedasticGaussianLoss(nn.Module):
    """Negative log-likelihood of normal distributions with variances of their own.

    ``0.5 * ((y - mean)**2 / variance + log(variance))``, averaged over rows and
    targets. torch's ``GaussianNLLLoss`` takes the variance as a third argument, which a
    skorch net has no place for; here a network puts out both, side by side.

    Parameters
    ----------
    full : bool, default=False
        Whether to add the constant ``0.5 * log(2 * pi)``, as torch's criterion does.

    See Also
    --------
    sklearn_jointens.JointEnsembleRegressor : Predicts with ``return_std=True``.

    Examples
    --------
    >>> import torch
    >>> from sklearn_jointens.losses import HeteroscedasticGaussianLoss
    >>> output = torch.tensor([[1.0, 0.0], [3.0, 0.0]])  # variances of 1
    >>> HeteroscedasticGaussianLoss()(output, torch.tensor([1.0, 1.0]))
    tensor(1.)

    As the criterion of an ensemble's members:

    >>> import numpy as np
    >>> from sklearn_jointens import JointEnsembleRegressor, mlp_regressor
    >>> X = np.linspace(-1, 1, 100)[:, None]
    >>> y = X[:, 0] + np.exp(X[:, 0]) * np.random.default_rng(0).normal(size=100)
    >>> member = mlp_regressor((8,), criterion=HeteroscedasticGaussianLoss)
    >>> reg = JointEnsembleRegressor(member, n_estimators=4, random_state=0).fit(X, y)
    >>> mean, std = reg.predict(X, return_std=True)
    >>> mean.shape, std.shape
    ((100,), (100,))
    """

    reduction = "mean"

    def __init__(self, full: bool = False) -> None:
        super().__init__()
        self.full = full

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """Loss of a network's output.

        Parameters
        ----------
        output : Tensor of shape (n_samples, 2 * n_targets)
            The means, then the logarithms of the variances.
        target : Tensor of shape (n_samples, n_targets), or (n_samples,)
            The latter with one target.

        Returns
        -------
        Tensor of shape ()
        """
        mean, log_variance = output.chunk(2, dim=1)
        error = target.reshape(mean.shape) - mean
        loss = 0.5 * (error.square() * torch.exp(-log_variance) + log_variance).mean()
        return loss + 0.5 * math.log(2 * math.pi) if self.full else loss
