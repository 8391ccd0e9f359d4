"""Faults in words: what a handler raised and where, without anything that it held.

A fault is kept in the log and shown to people, so it is short, and says nothing of the values of variables:
those may be secrets. Addresses of objects are left out, as they differ from process to process.
"""

from __future__ import annotations

import re
from pathlib import Path
from types import TracebackType
from typing import Final

from flux_actors import limits
from flux_actors.behaviour.watchdog import Overran
from flux_actors.behaviour.wire import RAISED, TOO_LARGE, TOO_LONG, Fault

_MESSAGE_CHARS_MAX: Final = 1_000
_FRAMES_MAX: Final = 5
_FRAME_CHARS_MAX: Final = 150
_OWN_FOLDER: Final = str(Path(__file__).parent)
_ADDRESS: Final = re.compile(r" at 0x[0-9a-fA-F]+")


def fault_of(error: BaseException, handler: str, limit_s: float) -> Fault:
    """Return the fault of what a handler raised. This calls users' code: the error's own `__str__`.

    Arguments:
        error: what was raised.
        handler: the name of the method.
        limit_s: how long it might run.
    """
    where = places_of(error.__traceback__)
    if isinstance(error, Overran):
        return Fault(TOO_LONG, _bounded(f"{handler} ran for more than {limit_s:g} s{where}"))
    if isinstance(error, MemoryError):
        return Fault(TOO_LARGE, _bounded(f"{handler} took more memory than its process may have{where}"))
    return Fault(RAISED, _bounded(f"{said_by(error)}{where}"))


def said_by(error: BaseException) -> str:
    """Return the type and the message of an exception. This calls users' code."""
    message = _ADDRESS.sub("", str(error)[: 2 * _MESSAGE_CHARS_MAX])[:_MESSAGE_CHARS_MAX]
    return f"{type(error).__name__[:64]}: {message}" if message else type(error).__name__[:64]


def places_of(trace: TracebackType | None) -> str:
    """Return the last lines of users' code that a traceback passed, the innermost last; `""` for none."""
    places: list[str] = []
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_OWN_FOLDER):
            file = code.co_filename.replace("\\\\", "/").rpartition("/")[2]
            places.append(f"{file}:{trace.tb_lineno} in {code.co_name}"[:_FRAME_CHARS_MAX])
        trace = trace.tb_next
    return f" ({', '.join(places[-_FRAMES_MAX:])})" if places else ""


def _bounded(text: str) -> str:
    """Return a text of bounded length that any reader can decode."""
    return text[: limits.behaviour_fault_chars_max].encode(errors="replace").decode()
