"""Members for tables: frames as numbers, and settings that follow the data."""

from sklearn_jointens.training.tables._columns import ColumnCodes, is_frame
from sklearn_jointens.training.tables._net import (
    TabularNet,
    TabularNetClassifier,
    TabularNetRegressor,
)

__all__ = [
    "ColumnCodes",
    "TabularNet",
    "TabularNetClassifier",
    "TabularNetRegressor",
    "is_frame",
]
