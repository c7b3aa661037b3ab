"""Ctrl-C, and how it differs from code that stops a training by the same exception."""

import dis
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

_RAISE = dis.opmap["RAISE_VARARGS"]


def is_interrupt(error: BaseException) -> bool:
    """Whether Ctrl-C has raised an exception, and no statement of anybody's code.

    Callbacks of skorch stop a training by ``raise KeyboardInterrupt``. Ctrl-C never
    comes at a ``raise``: Python looks for signals where functions begin, after calls
    and at the end of a round of a loop, and what is raised in C comes out of a call.

    Parameters
    ----------
    error : BaseException
        That was caught.

    Returns
    -------
    bool
    """
    traceback: Any = error.__traceback__
    if not isinstance(error, KeyboardInterrupt):
        return False
    handlers = _codes_of_handlers()
    while True:
        frame, place = traceback.tb_frame, traceback.tb_lasti
        if frame.f_code in handlers:
            return True
        if traceback.tb_next is None:
            # Code of Cython has a frame without a place.
            return place < 0 or frame.f_code.co_code[place] != _RAISE
        traceback = traceback.tb_next


def interrupt() -> NoReturn:
    """Raise what Ctrl-C raises, for `is_interrupt` too."""
    signal.default_int_handler(signal.SIGINT, None)


@contextmanager
def no_interrupt_lost() -> Iterator[None]:
    """A block that raises what Ctrl-C has raised in it, at the latest at its end.

    Python drops what is raised while it destroys an object, in anybody's code.
    """
    handler = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or not callable(handler):
        yield
        return
    raised: list[BaseException] = []

    def note(number: int, frame: Any) -> None:
        try:
            handler(number, frame)
        except BaseException as error:
            raised.append(error)
            raise

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if raised:
        raise raised[0]


def _codes_of_handlers() -> list[Any]:
    """The code of all that is written in Python and called when a signal comes."""
    handlers = map(signal.getsignal, signal.valid_signals())
    # asyncio's is a partial.
    functions = [getattr(handler, "func", handler) for handler in handlers]
    codes = [getattr(function, "__code__", None) for function in functions]
    return [code for code in codes if code is not None]
