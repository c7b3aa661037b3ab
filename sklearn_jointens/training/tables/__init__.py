"""Members for tables: frames as numbers, and settings that follow the data."""

from sklearn_jointens.training.tables._columns import ColumnCodes, is_frame
from sklearn_jointens.training.tables._net import TabularNetClassifier

__all__ = ["ColumnCodes", "TabularNetClassifier", "is_frame"]
