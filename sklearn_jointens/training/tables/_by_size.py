"""What a member for tables takes from the size of its data, where it is not told."""

from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from sklearn_jointens.nn.networks._arguments import is_number

# Fewer rows than this are too few for the rules to go on.
_FEWEST = 50

_FEWEST_IN_FLOAT32 = 1000
_MOST_BINS_OF_A_COLUMN = 8
_MOST_BINS = 1024


def check_settings(settings: dict[str, Any], owner: str) -> None:
    """Raise ValueError unless what is told, and not "auto", can be trained with.

    Parameters
    ----------
    settings : dict
        Parameters of the net, by the names that its maker has for them.
    owner : str
        The maker's name, for the message.
    """
    of_numbers = {
        "lr": (Real, 0, "a float of at least 0"),
        "weight_decay": (Real, 0, "a float of at least 0"),
        "batch_size": (Integral, 1, "an int of at least 1, or -1 for all rows"),
        "max_epochs": (Integral, 1, "an int of at least 1"),
        "n_bins": (Integral, 0, "an int of at least 0"),
        "patience": (Integral, 1, "an int of at least 1"),
        "n_drops": (Integral, 0, "an int of at least 0"),
    }
    for name, value in settings.items():
        kind, least, rule = of_numbers[name]
        is_all_rows = name == "batch_size" and value == -1
        if is_number(value, kind) and (value >= least or is_all_rows):
            continue
        raise ValueError(
            f"The {name!r} parameter of {owner} must be {rule}. Got {value!r} instead."
        )


def batch_size(n_rows: int) -> int:
    """Rows of a batch: 32 below 1,000 rows, else 128."""
    return 32 if n_rows < 1000 else 128


def learning_rate(n_rows: int) -> float:
    """AdamW's: 0.004, and below 2,500 rows less, by the root of their number.

    As of 50 rows at least.
    """
    return 0.004 * min(1.0, (max(n_rows, _FEWEST) / 2500) ** 0.5)


def weight_decay(n_rows: int) -> float:
    """AdamW's: ``(600 / n_rows) ** 1.5``, and at most 5.

    What is known without data counts the less the more rows there are.
    """
    return min(5.0, (600 / n_rows) ** 1.5)


def n_bins(n_columns: int) -> int:
    """Bins of a column of numbers: 8, or fewer where 1,024 are not enough for all."""
    fitting = min(_MOST_BINS_OF_A_COLUMN, _MOST_BINS // max(1, n_columns))
    return fitting if fitting > 1 else 0


def weight_dtype(n_rows: int, dtype_of_X: np.dtype) -> torch.dtype:
    """float32; float64 for fewer than 1,000 rows of float64, where that costs little.

    There a sum of weighted rows is that of repeated ones to more digits than a
    comparison looks at.
    """
    is_small = n_rows < _FEWEST_IN_FLOAT32 and dtype_of_X == np.float64
    return torch.float64 if is_small else torch.float32
