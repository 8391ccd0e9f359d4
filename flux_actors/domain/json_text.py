"""JSON from strangers: parsed strictly, bounded in depth, refused with one sentence."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.errors import Refused

_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1


def parse_json(body: bytes | bytearray, depth_max: int = limits.json_depth_max) -> Any:
    """Return the value of a JSON text: numbers exact, last of duplicate keys wins."""
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeError, RecursionError, ValueError) as error:
        raise not_json(error) from None
    if openers_of(body) > depth_max:
        check_depth(value, depth_max)
    return value


def not_json(error: Exception) -> Refused:
    """Return the refusal of a text that could not be decoded."""
    return Refused(f"the body must be valid JSON: {_reason(error)}")


def openers_of(body: bytes | bytearray) -> int:
    """Return how many lists and objects a JSON text opens at most: its depth is not above that."""
    return body.count(b"[") + body.count(b"{")


def check_depth(value: object, depth_max: int = limits.json_depth_max) -> None:
    """Raise `Refused` when lists and objects nest deeper than the limit."""
    level: list[Any] = [value] if isinstance(value, dict | list) else []
    for _ in range(depth_max):
        if not level:
            return
        level = [child for parent in level for child in _children(parent) if isinstance(child, dict | list)]
    if level:
        raise Refused(f"JSON may nest at most {depth_max} levels deep")


def check_numbers(value: object) -> None:
    """Raise `Refused` for an integer that no 64-bit reader could hold."""
    stack: list[Any] = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict | list):
            stack.extend(_children(item))
        elif isinstance(item, int) and not _INT_MIN <= item <= _INT_MAX:
            raise Refused("integers must fit in 64 bits (-2^63 to 2^64-1); send larger ones as strings")


def _children(parent: dict[str, Any] | list[Any]) -> Any:
    return parent.values() if isinstance(parent, dict) else parent


def _reason(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return f"it nests deeper than {limits.json_depth_max} levels"
    if isinstance(error, UnicodeError):
        return "it is not UTF-8 text"
    if str(error) == "Input data was truncated":
        return "it ends too early, or holds half of a surrogate pair"
    return str(error).removeprefix("JSON is malformed: ")[:200]
