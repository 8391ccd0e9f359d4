"""Rows: events of the log as a table that Ray Data hands on.

A row says what an event asked for: `properties` are those that it sets, as the text of a JSON object, and
null where it deletes its entity. They are any JSON, so no struct of arrow's holds those of unlike entities.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pyarrow as pa

from flux_actors import limits
from flux_actors.domain.effect import effect_of
from flux_actors.domain.event import Event
from flux_actors.domain.position import Packed, pack
from flux_actors.domain.terms import SERVER_SOURCES
from flux_actors.native.batch.log_reading import ReadBlock
from flux_actors.native.batch.sight import Sight
from flux_actors.native.batch.spans import Span

_FIELDS: Final[list[pa.Field[Any]]] = [
    pa.field("position", pa.string()),
    pa.field("partition", pa.int32()),
    pa.field("entity_id", pa.string()),
    pa.field("properties", pa.string()),
    pa.field("event_id", pa.string()),
    pa.field("source", pa.string()),
    pa.field("stream", pa.string()),
    pa.field("timestamp_ms", pa.uint64()),
    pa.field("clock", pa.timestamp("us", tz="UTC")),
]
SCHEMA: Final = pa.schema(_FIELDS)
_lines_of = msgspec.json.Encoder().encode_lines


class Rows:
    """Collects the rows of one span; `prefix` is what the ids of their entities begin with."""

    def __init__(self, span: Span, prefix: str, sight: Sight) -> None:
        self._span = span
        self._prefix = prefix
        self._sight = sight
        self._positions: list[str] = []
        self._events: list[Event] = []
        self._effects: list[dict[str, Any] | None] = []
        self._clocks: list[int] = []
        self._size_bytes = 0

    def __len__(self) -> int:
        """Return how many were collected since the last table."""
        return len(self._events)

    @property
    def is_full(self) -> bool:
        """Whether it is time for a table."""
        return len(self._events) >= limits.history_table_rows or self._size_bytes >= limits.history_read_bytes

    def add(self, read: ReadBlock) -> None:
        """Take the events of a block that are asked for; those that cannot be read did nothing."""
        sequence, size_bytes, block = read
        first, before = pack(sequence, 0), len(self._events)
        begin, end = max(0, self._span.first - first), self._span.end - first
        head = f"{self._span.partition}.{sequence}."
        for offset, event in enumerate(block.events[begin:end], begin):
            position = Packed(first + offset)
            if isinstance(event, Event) and self._is_asked_for(event, position):
                self._positions.append(f"{head}{offset}")
                self._events.append(event)
                self._effects.append(effect_of(event, position, block.clock_us))
        taken = len(self._events) - before
        self._clocks += [block.clock_us] * taken
        self._size_bytes += size_bytes if taken else 0

    def table(self) -> pa.Table:
        """Return what was collected, and begin anew."""
        events, effects = self._events, self._effects
        texts = _lines_of(effects).split(b"\n")
        columns: dict[str, list[Any]] = {
            "position": self._positions,
            "partition": [self._span.partition] * len(events),
            "entity_id": [event.entity_id for event in events],
            "properties": [
                None if effect is None else text for effect, text in zip(effects, texts, strict=False)
            ],
            "event_id": [event.event_id for event in events],
            "source": [event.source for event in events],
            "stream": [event.stream for event in events],
            "timestamp_ms": [event.timestamp_ms for event in events],
            "clock": self._clocks,
        }
        self._positions, self._events, self._effects, self._clocks = [], [], [], []
        self._size_bytes = 0
        return pa.Table.from_pydict(columns, schema=SCHEMA)

    def _is_asked_for(self, event: Event, position: Packed) -> bool:
        entity_id = event.entity_id
        if entity_id is None:
            return not self._prefix and event.source not in SERVER_SOURCES
        return entity_id.startswith(self._prefix) and (
            self._sight.is_all or self._sight.shows(entity_id, position)
        )
