"""Batches: rows of a dataset as events, each under an id that another try of the same task makes again."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
import pyarrow as pa

from flux_actors import limits
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.domain.event import Envelope, Event, parse_event
from flux_actors.errors import Refused

ENTITY_ID = "entity_id"
PROPERTIES = "properties"
_decode = msgspec.json.Decoder(dict[str, Any]).decode


class Label(NamedTuple):
    """What the events of one task have in common."""

    job: str
    task: int
    source: str
    stream: str


def check_columns(names: list[str]) -> None:
    """Raise `Refused` unless a dataset has the columns that make an event."""
    missing = [name for name in (ENTITY_ID, PROPERTIES) if name not in names]
    if missing:
        raise Refused(
            f"rows need the columns entity_id and properties (a struct, or the text of a JSON object); "
            f"{' and '.join(missing)} is missing of {', '.join(names) or 'none'}"
        )


def events_of(table: pa.Table, first: int, label: Label, now_ms: int) -> Iterator[list[Event]]:
    """Yield the events of a table's rows, some at a time.

    Arguments:
        table: with the columns `entity_id` and `properties`.
        first: number of its first row among those of the task.
        label: of the task.
        now_ms: their timestamp, milliseconds since 1970.

    Raises:
        Refused: a row makes no event; those yielded before did.
    """
    check_columns(table.column_names)
    for begin in range(0, table.num_rows, limits.history_table_rows):
        part = table.slice(begin, limits.history_table_rows)
        rows = zip(part.column(ENTITY_ID).to_pylist(), part.column(PROPERTIES).to_pylist(), strict=True)
        yield [_event(row, number, label, now_ms) for number, row in enumerate(rows, first + begin)]


def _event(row: tuple[Any, Any], number: int, label: Label, now_ms: int) -> Event:
    entity_id, properties = row
    try:
        payload = {ENTITY_ID: check_entity_id(entity_id), PROPERTIES: _properties(properties)}
        event_id = f"{label.job}.{label.task}.{number}"
        envelope = Envelope(label.stream, label.source, payload, event_id=event_id)
        return parse_event(envelope, now_ms, event_id)
    except Refused as refused:
        raise Refused(f"row {number} of task {label.task} is no event: {refused.message}") from None


def _properties(value: Any) -> dict[str, Any]:
    """Return the properties of a cell: JSON text as it stands, a struct without its nulls.

    Raises:
        Refused: it holds no object of JSON.
    """
    try:
        if isinstance(value, str):
            return _decode(value)
        if isinstance(value, list):  # a map of arrow's
            value = dict(value)
        if isinstance(value, dict):
            return {name: _plain(one) for name, one in value.items() if not _is_missing(one)}
    except (msgspec.MsgspecError, TypeError, ValueError) as error:
        raise Refused(f"its properties are no JSON object: {error}") from None
    raise Refused("its properties are missing; a struct or the text of a JSON object is needed")


def _plain(value: Any) -> Any:
    """Return a value as JSON has it: a time as its text, say."""
    match value:
        case dict():
            return {str(name): _plain(one) for name, one in value.items() if not _is_missing(one)}
        case list():
            return [None if _is_missing(one) else _plain(one) for one in value]
        case float() if math.isinf(value):
            raise ValueError("JSON knows no infinity")
        case str() | int() | float() | None:
            return value
        case _:
            return msgspec.to_builtins(value)


def _is_missing(value: Any) -> bool:
    """Whether a cell holds nothing: arrow's null, or the NaN that pandas makes of it."""
    return value is None or (isinstance(value, float) and math.isnan(value))
