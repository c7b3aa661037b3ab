"""matplotlib, which is optional, is imported when something is drawn."""

from types import ModuleType


def drawing_for(caller: str) -> ModuleType:
    """The module of what displays share in drawing, which needs matplotlib.

    Parameters
    ----------
    caller : str
        Who draws, for the message.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    """
    try:
        from sklearn_jointens.inspection import _panels
    except ImportError as error:
        raise ImportError(
            f"{caller} requires matplotlib. You can install it with `pip install "
            "matplotlib`."
        ) from error
    return _panels
