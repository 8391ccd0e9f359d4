"""What it costs to carry an event's properties: decoded and encoded again, or as the client's own bytes.

`python -m flux_bench.carrying` prints µs per event of the door's part (JSON to the block's bytes) and of the
shard's (block to properties) for both, and fails unless both give the shard the same properties. The checks
that decoding makes by itself (text is text, integers fit in 64 bits) are part of the raw way.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from flux_bench.log_lab import options, show

_EVENTS: Final = 500
_ID: Final = "0192f0c1-0000-7000-8000-000000000000"
_DIGITS_MAX: Final = 18  # so many always fit in 64 bits; more need a closer look
_DIGIT_OR_NOT: Final = bytes(0x30 if 0x30 <= byte <= 0x39 else 0x78 for byte in range(256))


class _Envelope(msgspec.Struct, gc=False):
    stream: str
    payload: dict[str, Any]


class _RawPayload(msgspec.Struct, gc=False):
    entity_id: str
    properties: msgspec.Raw


class _RawEnvelope(msgspec.Struct, gc=False):
    stream: str
    payload: _RawPayload


class _Kept(msgspec.Struct, array_like=True, gc=False):
    entity_id: str
    properties: dict[str, Any]
    event_id: str
    stream: str


class _KeptRaw(msgspec.Struct, array_like=True, gc=False):
    entity_id: str
    properties: bytes
    event_id: str
    stream: str


_encode = msgspec.msgpack.Encoder().encode
_decode_envelopes = msgspec.json.Decoder(list[_Envelope]).decode
_decode_raw_envelopes = msgspec.json.Decoder(list[_RawEnvelope]).decode
_decode_kept = msgspec.msgpack.Decoder(list[_Kept]).decode
_decode_kept_raw = msgspec.msgpack.Decoder(list[_KeptRaw]).decode
_decode_properties = msgspec.json.Decoder(dict[str, Any]).decode


def to_block(body: bytes) -> bytes:
    """Return a block whose properties were decoded and encoded again."""
    return _encode(
        [
            _Kept(envelope.payload["entity_id"], envelope.payload["properties"], _ID, envelope.stream)
            for envelope in _decode_envelopes(body)
        ]
    )


def to_raw_block(body: bytes) -> bytes:
    """Return a block whose properties are the client's bytes, checked for what decoding would refuse."""
    assert body.isascii()
    assert b"\\" not in body
    assert b"0" * (_DIGITS_MAX + 1) not in body.translate(_DIGIT_OR_NOT)
    return _encode(
        [
            _KeptRaw(envelope.payload.entity_id, bytes(envelope.payload.properties), _ID, envelope.stream)
            for envelope in _decode_raw_envelopes(body)
        ]
    )


def from_block(block: bytes) -> list[dict[str, Any]]:
    """Return the properties of a block."""
    return [event.properties for event in _decode_kept(block)]


def from_raw_block(block: bytes) -> list[dict[str, Any]]:
    """Return the properties of a block that holds the client's bytes."""
    return [_decode_properties(event.properties) for event in _decode_kept_raw(block)]


def best_us(work: Callable[[], object], times: int) -> float:
    """Return the fewest microseconds per event of several runs: noise only adds."""
    best = float("inf")
    for _ in range(times):
        started = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - started)
    return best / _EVENTS * 1e6


def body_of_events() -> bytes:
    """Return the JSON of a batch of events of three properties."""
    return msgspec.json.encode(
        [
            {
                "stream": "bench",
                "payload": {
                    "entity_id": f"bench/sensor-{number:05d}",
                    "properties": {"temperature": number / 7, "status": "active", "sequence": number},
                },
            }
            for number in range(_EVENTS)
        ]
    )


def main() -> None:
    """Print the table."""
    times = 3 if options(__doc__).quick else 200
    body = body_of_events()
    block, raw = to_block(body), to_raw_block(body)
    assert from_block(block) == from_raw_block(raw)
    rows = [
        ("door: JSON to the block's bytes", lambda: to_block(body), lambda: to_raw_block(body)),
        ("shard: block to properties", lambda: from_block(block), lambda: from_raw_block(raw)),
    ]
    table = [
        (what, f"{best_us(decoded, times):.2f}", f"{best_us(as_bytes, times):.2f}")
        for what, decoded, as_bytes in rows
    ]
    table.append(("bytes per event in the log", str(len(block) // _EVENTS), str(len(raw) // _EVENTS)))
    show("Carrying properties, µs per event", ("", "decoded and encoded", "as the client's bytes"), table)


if __name__ == "__main__":
    main()
