"""Modules that several test files make members of."""

from torch import nn


class Net(nn.Sequential):
    def __init__(self, n_features_in, n_classes):
        super().__init__(
            nn.Linear(n_features_in, 4), nn.Tanh(), nn.Linear(4, n_classes)
        )


class LogitColumn(nn.Linear):
    def __init__(self, n_features_in):
        super().__init__(n_features_in, 1)
