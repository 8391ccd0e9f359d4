"""Baseline B2: what decoding and updating alone cost, with no engine around them.

`python -m flux_bench.bare_loop SECONDS` prints events per second: msgpack blocks of 500 events of three
properties are decoded into structs, and each updates one of 10,000 dicts. The structs are its own and not
the engine's, so that the baseline stays where it is while the engine changes.
"""

from __future__ import annotations

import sys
import time
from typing import Any, Final

import msgspec

_BLOCK_EVENTS: Final = 500
_BLOCKS: Final = 40
_ENTITIES: Final = 10_000


class _Event(msgspec.Struct, array_like=True):
    entity_id: str
    properties: dict[str, Any]
    event_id: str
    named_by_client: bool
    source: str
    stream: str
    timestamp_ms: int


def events_per_s(seconds: float) -> float:
    """Return the rate of the loop."""
    encode = msgspec.msgpack.Encoder().encode
    decode = msgspec.msgpack.Decoder(list[_Event]).decode
    blocks = [
        encode([_event(block * _BLOCK_EVENTS + number) for number in range(_BLOCK_EVENTS)])
        for block in range(_BLOCKS)
    ]
    entities: dict[str, dict[str, Any]] = {f"bench/sensor-{number}": {} for number in range(_ENTITIES)}
    done = 0
    started = time.perf_counter()
    while (passed := time.perf_counter() - started) < seconds:
        for event in decode(blocks[done % _BLOCKS]):
            entities[event.entity_id].update(event.properties)
        done += 1
    return done * _BLOCK_EVENTS / passed


def _event(number: int) -> _Event:
    properties = {"temperature": number / 7, "status": "active", "sequence": number}
    return _Event(
        f"bench/sensor-{number % _ENTITIES}",
        properties,
        f"0192f0c1-0000-7000-8000-{number:012d}",
        named_by_client=False,
        source="bench",
        stream="bench",
        timestamp_ms=1_700_000_000_000 + number,
    )


if __name__ == "__main__":
    print(events_per_s(float(sys.argv[1])))
