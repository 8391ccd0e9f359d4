"""Batches: rows of a dataset as events, each under an id that another try of the same task makes again.

The id is made of the job, the task and what the row says, and not of the row's number: Ray may hand a task
its rows in another order when it tries again, and then a number would name another row. Rows that say the
same are counted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from typing import Any, Final, NamedTuple

import msgspec
import pyarrow as pa

from flux_actors import limits
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.domain.event import Envelope, Event, parse_event
from flux_actors.errors import Refused

ENTITY_ID: Final = "entity_id"
PROPERTIES: Final = "properties"
_DIGEST_BYTES: Final = 12
_encode = msgspec.json.Encoder(order="deterministic").encode
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
            "rows need the columns entity_id and properties (a struct, or the text of a JSON object); "
            f"missing: {', '.join(missing)}; there: {', '.join(names)}"
        )


class Batch:
    """The rows of one task."""

    def __init__(self, label: Label) -> None:
        self._label = label
        self._rows = 0
        self._said: Counter[bytes] = Counter()  # how often, by digest

    def events_of(self, table: pa.Table, now_ms: int) -> Iterator[list[Event]]:
        """Yield the events of the next rows, some at a time.

        Arguments:
            table: with the columns `entity_id` and `properties`.
            now_ms: their timestamp, milliseconds since 1970.

        Raises:
            Refused: a row makes no event; those yielded before did.
        """
        check_columns(table.column_names)
        for begin in range(0, table.num_rows, limits.history_table_rows):
            part = table.slice(begin, limits.history_table_rows)
            rows = zip(part.column(ENTITY_ID).to_pylist(), part.column(PROPERTIES).to_pylist(), strict=True)
            yield [self._event(entity_id, properties, now_ms) for entity_id, properties in rows]

    def _event(self, entity_id: Any, properties: Any, now_ms: int) -> Event:
        label, number = self._label, self._rows
        self._rows += 1
        try:
            payload = {ENTITY_ID: check_entity_id(entity_id), PROPERTIES: _properties(properties)}
            event_id = self._event_id(payload)
            envelope = Envelope(label.stream, label.source, payload, event_id=event_id)
            return parse_event(envelope, now_ms, event_id)
        except Refused as refused:
            raise Refused(f"row {number} of task {label.task} is no event: {refused.message}") from None

    def _event_id(self, payload: dict[str, Any]) -> str:
        said = blake2b(_encode(payload), digest_size=_DIGEST_BYTES).digest()
        self._said[said] += 1
        return f"{self._label.job}.{self._label.task}.{said.hex()}.{self._said[said]}"


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
