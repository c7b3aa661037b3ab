"""Estimators by their task: names of classes that differ in their ending alone."""

from typing import Any

ENDINGS = {"classification": "Classifier", "regression": "Regressor"}


def of_task(task: str, module: Any, name: str) -> Any:
    """A library's class for a task.

    Parameters
    ----------
    task : {"classification", "regression"}
    module : module
    name : str
        Of the class, without its ending.

    Returns
    -------
    class
    """
    return getattr(module, name + ENDINGS[task])
