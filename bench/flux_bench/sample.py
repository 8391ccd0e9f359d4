"""The event that is measured where no server is asked: three properties, about 150 bytes in the log."""

from __future__ import annotations

from flux_actors.domain.event import Event
from flux_actors.log.block import encode_event


def sample_event(number: int, entities: int = 10_000) -> bytes:
    """Return an encoded event of one of `entities` entities."""
    properties = {"temperature": number / 7, "status": "active", "sequence": number}
    return encode_event(
        Event(
            f"bench/sensor-{number % entities:06d}",
            properties,
            f"0192f0c1-0000-7000-8000-{number:012d}",
            named_by_client=False,
            source="bench",
            stream="bench",
            timestamp_ms=1_700_000_000_000 + number,
        )
    )
