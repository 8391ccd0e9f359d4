"""The language of `where`: a condition on an entity's properties, read once and asked of many entities.

    status = "busy" and (battery.level >= 0.2 or exists(charger)) and not `room no` = null

A path names a property, and with dots what is nested in it; a name that is no word stands in backquotes.
Values are JSON's: numbers, texts, true, false, null. Unlike types are neither equal nor unequal nor in any
order, with one exception: what is there and not null is `!= null`. A path that leads nowhere is like nothing.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from typing import Any, Final, NamedTuple, cast

import msgspec
from lark import Lark, Token, Transformer
from lark.exceptions import UnexpectedInput, UnexpectedToken, VisitError

from flux_actors import limits
from flux_actors.errors import Refused

_GRAMMAR: Final = r"""
    ?start: any
    ?any: all (_OR all)*
    ?all: one (_AND one)*
    ?one: _NOT one -> none
        | "(" any ")"
        | _EXISTS "(" path ")" -> exists
        | path OPERATOR value -> comparison
    path: _name ("." _name)*
    _name: WORD | QUOTED
    ?value: NUMBER | TEXT | CONSTANT

    _OR: /or(?![\w$@-])/i
    _AND: /and(?![\w$@-])/i
    _NOT.2: /not(?![\w$@-])/i
    _EXISTS.2: /exists(?=\s*\()/i
    OPERATOR: "==" | "=" | "!=" | "<=" | "<" | ">=" | ">"
    CONSTANT.2: /(true|false|null)(?![\w$@-])/
    NUMBER.2: /-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?(?![\w$@.-])/
    TEXT: /"(\\.|[^"\\])*"/
    WORD: /[^\W\d][\w$@-]*/
    QUOTED: /`[^`]+`/
    %ignore /[ \t\r\n]+/
"""
_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_EQUALITY: Final = ("=", "==", "!=")
_NUMBERS: Final = (int, float)
_MISSING: Final = object()
_EXAMPLE: Final = "it looks like: battery > 0.2 and exists(owner)"

Where = Callable[[Mapping[str, Any]], bool]


@lru_cache(limits.wheres_kept)
def where_of(text: str) -> Where:
    """Return the condition that `text` states, to be asked of an entity's properties.

    Raises:
        Refused: it is no condition, or one that is too long.
    """
    if len(text) > limits.where_chars_max:
        raise Refused(f"where may have at most {limits.where_chars_max} characters")
    try:
        part: _Part = _parser().parse(text)  # type: ignore[assignment]  # the transformer makes it one
    except UnexpectedInput as error:
        raise Refused(_explained(text, error)) from None
    except VisitError as error:
        if isinstance(error.orig_exc, Refused):
            raise error.orig_exc from None
        raise
    return part.holds


class _Part(NamedTuple):
    """A condition, and how deep its calls go."""

    holds: Where
    depth: int


class _Conditions(Transformer[Token, _Part]):
    """Makes functions of what was read, as it is read."""

    def any(self, parts: list[_Part]) -> _Part:
        """One of them holds."""
        conditions = [part.holds for part in parts]
        return _deeper(lambda properties: _some(conditions, properties), parts)

    def all(self, parts: list[_Part]) -> _Part:
        """Every one of them holds."""
        conditions = [part.holds for part in parts]
        return _deeper(lambda properties: _every(conditions, properties), parts)

    def none(self, parts: list[_Part]) -> _Part:
        """It does not hold."""
        ((holds, _),) = parts
        return _deeper(lambda properties: not holds(properties), parts)

    def exists(self, parts: list[Any]) -> _Part:
        """There is something at a path, if only null."""
        find = _finder(parts[0])
        return _Part(lambda properties: find(properties) is not _MISSING, 1)

    def comparison(self, parts: list[Any]) -> _Part:
        """What is at a path compares so with a value."""
        path, sign, value = parts
        return _Part(_comparison(_finder(path), str(sign), value), 1)

    def path(self, names: list[Token]) -> tuple[str, ...]:
        """Return the names of a path."""
        return tuple(name[1:-1] if name.type == "QUOTED" else str(name) for name in names)

    def NUMBER(self, token: Token) -> int | float:  # noqa: N802 - named as the terminal is
        """Return a number."""
        return _value(token)  # type: ignore[no-any-return]

    def TEXT(self, token: Token) -> str:  # noqa: N802
        """Return a text."""
        return _value(token)  # type: ignore[no-any-return]

    def CONSTANT(self, token: Token) -> bool | None:  # noqa: N802
        """Return true, false or null."""
        return _value(token)  # type: ignore[no-any-return]


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, parser="lalr", transformer=_Conditions(), maybe_placeholders=False)


def _value(token: Token) -> Any:
    try:
        return msgspec.json.decode(token.encode())
    except (msgspec.MsgspecError, UnicodeError):
        raise Refused(f"where: {token} at character {(token.start_pos or 0) + 1} is no JSON value") from None


def _finder(path: tuple[str, ...]) -> Callable[[Mapping[str, Any]], Any]:
    """Return what finds the value at a path."""
    if len(path) == 1:
        (name,) = path
        return lambda properties: properties.get(name, _MISSING)

    def find(properties: Mapping[str, Any]) -> Any:
        value: Any = properties
        for name in path:
            if not isinstance(value, dict):
                return _MISSING
            value = value.get(name, _MISSING)
        return value

    return find


def _comparison(find: Callable[[Mapping[str, Any]], Any], sign: str, value: Any) -> Where:
    compare = _COMPARE[sign]
    if value is None or isinstance(value, bool):
        if sign not in _EQUALITY:
            raise Refused(f"where: true, false and null are in no order; use = or != instead of {sign}")
        if value is None and sign == "!=":
            return lambda properties: find(properties) not in (None, _MISSING)
        kinds: tuple[type, ...] = (type(value),)
        return lambda properties: type(found := find(properties)) in kinds and compare(found, value)
    kinds = _NUMBERS if isinstance(value, _NUMBERS) else (str,)
    return lambda properties: type(found := find(properties)) in kinds and compare(found, value)


def _some(conditions: list[Where], properties: Mapping[str, Any]) -> bool:
    for holds in conditions:  # noqa: SIM110 - a generator for each entity costs as much as comparing
        if holds(properties):
            return True
    return False


def _every(conditions: list[Where], properties: Mapping[str, Any]) -> bool:
    for holds in conditions:  # noqa: SIM110 - as above
        if not holds(properties):
            return False
    return True


def _deeper(holds: Where, parts: list[_Part]) -> _Part:
    depth = 1 + max(part.depth for part in parts)
    if depth > limits.where_depth_max:
        raise Refused(f"where may nest at most {limits.where_depth_max} levels deep")
    return _Part(holds, depth)


def _explained(text: str, error: UnexpectedInput) -> str:
    if isinstance(error, UnexpectedToken) and error.token.type == "$END":
        return f"where ends too early; {_EXAMPLE}"
    place = cast("int", error.pos_in_stream)  # every kind of it that a parse raises has one
    return f"where cannot be read at character {place + 1}, {text[place : place + 20]!r}; {_EXAMPLE}"
