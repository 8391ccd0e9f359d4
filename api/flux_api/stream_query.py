"""What a reader asks of an event stream: the options of a subscription, as parameters of its URL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, NamedTuple

from flux_actors import limits
from flux_actors.domain.pattern import EVERYTHING, widest
from flux_actors.domain.position import Packed
from flux_actors.errors import Refused
from flux_api.queries import read_query
from flux_api.requests import is_true
from flux_api.watching.options import Options

PARAMETERS: Final = ("entity", "prefix", "where", "fields", "format", "initial", "from", "metrics")


class StreamQuery(NamedTuple):
    """Which patterns, all with the same options, and whether the door's figures come, too."""

    patterns: tuple[str, ...]
    options: Options
    metrics: bool


def read_stream_query(
    parameters: Iterable[tuple[str, str]],
    last_event_id: str | None,
    parse: Callable[[str], Mapping[int, Packed]],
) -> StreamQuery:
    """Return what the parameters ask for; `parse` reads the text of a position.

    A browser that comes back has the same URL as before, so where it was last counts more than `from` does.

    Raises:
        Refused: one of them is not what it should be.
    """
    given = list(parameters)
    named = dict(given)
    position = last_event_id or named.get("from")
    asked = read_query({name: named[name] for name in ("where", "fields") if name in named}).query
    options = Options(
        initial=is_true(named.get("initial")),
        places=parse(position) if position else None,
        where=asked.where,
        fields=asked.fields,
        delta=_delta(named.get("format")),
    )
    return StreamQuery(_patterns(given), options, is_true(named.get("metrics")))


def _patterns(given: Iterable[tuple[str, str]]) -> tuple[str, ...]:
    found = [_entity(value) if name == "entity" else _prefix(value) for name, value in given if name in _WHOM]
    return widest(found) or (EVERYTHING,)


_WHOM: Final = ("entity", "prefix")


def _entity(value: str) -> str:
    if not value or len(value.encode()) > limits.entity_id_bytes_max:
        raise Refused('entity must be an id, "namespace/*" or "*"')
    return value


def _prefix(value: str) -> str:
    if value and not value.endswith("/"):
        raise Refused(f"prefix must end in /, such as {value[:64]}/; name single entities with entity")
    if len(value.encode()) > limits.entity_id_bytes_max:
        raise Refused(f"prefix may have at most {limits.entity_id_bytes_max} bytes")
    return f"{value}*"


def _delta(value: str | None) -> bool:
    if value not in {None, "", "delta"}:
        raise Refused("format may be delta; leave it out for an update per property")
    return value == "delta"
