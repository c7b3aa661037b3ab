"""Images with channels: scaled, flipped and cropped."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
from skorch.dataset import Dataset
from torch import Tensor
from torch.nn.functional import pad

from examples._data import Data, load_data, load_photographs

# Mean and deviation of each channel of the training images (the authors' figures).
SCALES = {
    "CIFAR-10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "CIFAR-100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
}
_MARGIN = 4


def load_images(name: str, path: Path | None) -> Data:
    """Images of shape (channels, height, width), float32, of mean 0 and deviation 1."""
    if name not in SCALES:
        data = load_data(name, path)
        shape = (-1, 1, *2 * [math.isqrt(data.n_features)])
        X_train, X_test = data.X_train.reshape(shape), data.X_test.reshape(shape)
        return data._replace(X_train=X_train, X_test=X_test)
    X_train, y_train = load_photographs(path, "train", name)
    X_test, y_test = load_photographs(path, "test", name)
    X_train, X_test = scaled(X_train, name), scaled(X_test, name)
    return Data(name, X_train, y_train, X_test, y_test)


def scaled(X: np.ndarray, name: str) -> np.ndarray:
    """Channels first."""
    mean, deviation = np.array(SCALES[name], dtype=np.float32)
    X = (X.astype(np.float32) / 255 - mean) / deviation
    return np.ascontiguousarray(X.transpose(0, 3, 1, 2))


class Augmented(Dataset):
    """Images that are, at random, mirrored and shifted by up to 4 pixels.

    When they come with classes, to learn from; images to predict stay as they are.
    """

    def __getitems__(self, rows: list[int]) -> list[tuple[Any, Any]]:
        images, classes = zip(*(self[row] for row in rows), strict=True)
        if self.y is not None:
            images = flipped_and_cropped(torch.as_tensor(np.stack(images))).unbind()
        return list(zip(images, classes, strict=True))


def flipped_and_cropped(X: Tensor) -> Tensor:
    """Half of the images mirrored, each shifted by up to 4 pixels.

    Parameters
    ----------
    X : Tensor of shape (n_samples, channels, height, width)
        What comes in at the edges is 0, the mean.

    Returns
    -------
    Tensor of the same shape
    """
    n, _, height, width = X.shape
    is_mirrored = torch.rand(n) < 0.5
    X = torch.where(is_mirrored[:, None, None, None], X.flip(3), X)
    wide = pad(X, 4 * [_MARGIN])
    top, left = torch.randint(2 * _MARGIN + 1, (2, n, 1))
    down, across = top + torch.arange(height), left + torch.arange(width)
    image = torch.arange(n)[:, None, None]
    X = wide[image, :, down[:, :, None], across[:, None, :]]
    return X.permute(0, 3, 1, 2).contiguous()
