"""Plain values: what JSON can hold, and so what the log, clients and other behaviours can read.

Users' code hands over whatever it has: a tuple, a numpy number, a date. What has one obvious plain form gets
it, all else is refused in a sentence that names the place. Most of what comes is plain already and is
returned as it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.errors import Refused

_EASY: Final = frozenset({str, int, bool, type(None)})
_ENCODING_ERRORS: Final = (msgspec.EncodeError, OverflowError, UnicodeError, TypeError, RecursionError)
_encode = msgspec.msgpack.Encoder().encode


def plain_object(value: object, name: str) -> dict[str, Any]:
    """Return a mapping as a plain one; raises `Refused` as `plain` does, and for what is no mapping."""
    if type(value) is dict and _is_flat(value):
        return value
    if not isinstance(value, Mapping):
        raise Refused(f'{name} must be a dict such as {{"on": True}}, not {_kind(value)}')
    return _object(value, name, limits.json_depth_max)


def plain(value: object, name: str, depth: int = limits.json_depth_max) -> Any:
    """Return a value in its plain form.

    Arguments:
        value: anything.
        name: what it is, for the text of a refusal.
        depth: how deep it may nest.

    Raises:
        Refused: it has none.
    """
    if isinstance(value, Mapping):
        return _object(value, name, depth)
    if isinstance(value, list | tuple):
        _check_depth(name, depth)
        return [plain(one, f"{name}[{index}]", depth - 1) for index, one in enumerate(value)]
    return _leaf(value, name)


def encoded(value: object, name: str, bytes_max: int) -> bytes:
    """Return a plain value as msgpack; raises `Refused` for one that is too large or cannot be encoded."""
    try:
        data = _encode(value)
    except _ENCODING_ERRORS as error:
        raise Refused(f"{name} cannot be kept: {error}") from None
    if len(data) > bytes_max:
        raise Refused(f"{name} has {len(data)} bytes; at most {bytes_max} are allowed")
    return data


def _is_flat(value: dict[Any, Any]) -> bool:
    """Whether all values are plain leaves; 0.1 µs for three of them."""
    for key, one in value.items():
        if type(key) is not str:
            return False
        kind = type(one)
        if kind not in _EASY and (kind is not float or not math.isfinite(one)):
            return False
    return True


def _object(value: Mapping[Any, Any], name: str, depth: int) -> dict[str, Any]:
    _check_depth(name, depth)
    found: dict[str, Any] = {}
    for key, one in value.items():
        if not isinstance(key, str):
            raise Refused(f"{name} has the key {str(key)[:64]!r} of {_kind(key)}; keys must be strings")
        text = _text(key)
        found[text] = one if type(one) in _EASY else plain(one, f"{name}.{text[:64]}", depth - 1)
    return found


def _leaf(value: object, name: str) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _text(value)
        case int():
            return int(value)
        case float():
            if not math.isfinite(value):
                raise Refused(f"{name} is {float(value)}, which JSON cannot hold; use None or a string")
            return float(value)
        case _:
            pass
    hint = "; its .item() is one" if callable(getattr(value, "item", None)) else ""
    raise Refused(
        f"{name} is of {_kind(value)}; only str, int, float, bool, None, lists and dicts are kept{hint}"
    )


def _text(value: str) -> str:
    """Return a string itself instead of a subclass such as a `StrEnum`."""
    return value if type(value) is str else str.__str__(value)


def _check_depth(name: str, depth: int) -> None:
    if depth <= 0:
        raise Refused(f"{name[:256]} nests deeper than {limits.json_depth_max} levels")


def _kind(value: object) -> str:
    return f"type {type(value).__name__[:64]}"
