"""From what Python code publishes to events of the log.

What comes from HTTP is JSON by its nature; what comes from Python is looked at here, so that the log holds
nothing that a client could not have sent: text keys, finite numbers, lists, dictionaries, nothing else.
Tuples become lists, and numbers of other kinds (numpy's) become Python's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from flux_actors import limits
from flux_actors.domain.event import DELETE_STREAM, DELETED, Event, with_terms
from flux_actors.domain.json_text import check_numbers
from flux_actors.domain.terms import ABSENT, PRESENT, Condition, Terms, check_ttl, condition_of_etag
from flux_actors.errors import Refused

STREAM: Final = "flux.native"
TELL_STREAM: Final = "flux.tell"
_PLAIN: Final = frozenset({str, int, bool, type(None)})
_INT_MIN: Final = -(1 << 63)
_INT_MAX: Final = (1 << 64) - 1


def plain_properties(properties: object) -> dict[str, Any]:
    """Return properties as JSON has them: the same dictionary where it is that already.

    Raises:
        Refused: they are no dictionary, or hold what JSON cannot.
    """
    if type(properties) is dict and all(
        type(name) is str and (type(value) in _PLAIN or (type(value) is float and math.isfinite(value)))
        for name, value in properties.items()
    ):
        return properties
    if not isinstance(properties, Mapping):
        raise Refused("properties must be a dictionary such as {'on': True}")
    found: dict[str, Any] = plain(properties)
    return found


def plain(value: Any, depth: int = limits.json_depth_max) -> Any:
    """Return a value as JSON has it; raises `Refused` when it cannot."""
    match value:
        case str() | bool() | None:
            return value if value is None or isinstance(value, bool) else str(value)
        case int():
            return _whole(value)
        case float():
            if not math.isfinite(value):
                raise Refused("JSON has no NaN and no infinity; leave such a property out, or send None")
            return float(value)
        case Mapping() | list() | tuple() if depth == 0:
            raise Refused(f"properties may nest at most {limits.json_depth_max} levels deep")
        case Mapping():
            return {_key(name): plain(one, depth - 1) for name, one in value.items()}
        case list() | tuple():
            return [plain(one, depth - 1) for one in value]
        case _:
            return _unboxed(value, depth)


def _unboxed(value: Any, depth: int) -> Any:
    """Return what a scalar or an array of numpy holds."""
    unbox = getattr(value, "tolist", None)
    if unbox is None:
        raise Refused(f"a property cannot be a {type(value).__name__}: JSON has no such thing")
    return plain(unbox(), depth)


def _whole(value: int) -> int:
    if not _INT_MIN <= value <= _INT_MAX:
        check_numbers(value)
    return int(value)


def _key(name: object) -> str:
    if not isinstance(name, str):
        raise Refused(f"names of properties are strings, not {type(name).__name__}")
    return str(name)


def terms_of(
    ttl_s: float | None, *, if_absent: bool = False, if_present: bool = False, if_match: str | None = None
) -> Terms | None:
    """Return the terms of a publish, `None` for a plain one; raises `Refused` for what can be none."""
    conditions: list[Condition] = []
    if if_absent:
        conditions.append(ABSENT)
    if if_present:
        conditions.append(PRESENT)
    if if_match is not None:
        conditions.append(condition_of_etag(if_match))
    if len(conditions) > 1:
        raise Refused("an event has one condition: if_absent, if_present or if_match")
    if not conditions and ttl_s is None:
        return None
    return Terms(conditions[0] if conditions else None, 0, None if ttl_s is None else ttl_ms_of(ttl_s))


def ttl_ms_of(ttl_s: object, least: int = 0) -> int:
    """Return seconds as whole milliseconds; raises `Refused` for what is no time to live."""
    if not isinstance(ttl_s, int | float) or not math.isfinite(ttl_s):
        raise Refused("ttl_s must be a number of seconds")
    return check_ttl(round(ttl_s * 1_000), "ttl_s in milliseconds", least)


def check_event_id(event_id: object) -> str:
    """Return an id that a caller chose; raises `Refused` for what can be none."""
    if not isinstance(event_id, str) or not 1 <= len(event_id) <= limits.event_id_chars_max:
        raise Refused(f"event_id must be a string of 1 to {limits.event_id_chars_max} characters")
    return event_id


def event_of(
    entity_id: str, properties: dict[str, Any], event_id: str, source: str, now_ms: int, terms: Terms | None
) -> Event:
    """Return the event that sets properties."""
    event = Event(
        entity_id,
        properties,
        event_id,
        named_by_client=True,  # so that the fold remembers it, and publishing it again is safe
        source=source,
        stream=STREAM,
        timestamp_ms=now_ms,
    )
    return event if terms is None else with_terms(event, terms)


def deletion_of(entity_id: str, event_id: str, source: str, now_ms: int) -> Event:
    """Return the event that deletes an entity."""
    return Event(
        entity_id,
        {DELETED: True},
        event_id,
        named_by_client=True,
        source=source,
        stream=DELETE_STREAM,
        timestamp_ms=now_ms,
    )


def told_of(entity_id: str, content: Any, event_id: str, source: str, now_ms: int) -> Event:
    """Return the event that tells an entity's behaviour something; raises `Refused` for `None`."""
    if content is None:
        raise Refused("a message must be a value that JSON has, and not None")
    event = Event(
        entity_id,
        {},
        event_id,
        named_by_client=True,
        source=source,
        stream=TELL_STREAM,
        timestamp_ms=now_ms,
    )
    return with_terms(event, Terms(told=plain(content)))
