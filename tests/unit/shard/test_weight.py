"""The estimate of an actor's weight against what the allocator hands out for many of them."""

from __future__ import annotations

import tracemalloc
from typing import Any

import msgspec
import pytest

from flux_actors.domain.entity import EntityActor, EntityRow
from flux_actors.domain.leases import Leases
from flux_actors.shard.weight import weigh

COUNT = 300
SHAPES: dict[str, Any] = {
    "one number": lambda number: {"v": number + 1_000},
    "three": lambda number: {"temperature": number / 7, "on": True, "name": f"sensor number {number}"},
    "twenty": lambda number: {f"property-{index}": number / 7 + index for index in range(20)},
    "nested": lambda number: {"a": {"b": [number / 7, number / 9], "c": {"d": f"x{number}"}}},
    "text": lambda number: {"text": f"{number:04}" * 250},
    "long key": lambda number: {"k" * 200: number / 7},
    "deleted": lambda number: None,
}
LEASES: dict[str, Any] = {
    "none": lambda number: None,
    "on the entity": lambda number: Leases(number << 40, {}, f"door-{number}.1"),
    "on properties": lambda number: Leases(None, {"v": number << 40, "w": number << 41}),
}


@pytest.mark.parametrize("leases", LEASES)
@pytest.mark.parametrize("events", [1, 10])
@pytest.mark.parametrize("shape", SHAPES)
def test_estimate_is_near_what_was_allocated(shape: str, events: int, leases: str) -> None:
    history = b"".join(number.to_bytes(8) * 2 for number in range(events))
    rows = [
        EntityRow(
            f"ns/{number}", SHAPES[shape](number), number << 20, 1 << 50, history, LEASES[leases](number)
        )
        for number in range(COUNT)
    ]
    data = [msgspec.msgpack.encode(row) for row in rows]
    decode = msgspec.msgpack.Decoder(EntityRow).decode
    decode(data[0])
    tracemalloc.start()
    actors = {}
    for encoded in data:
        actor = EntityActor.from_row(decode(encoded), 0)
        actors[actor.entity_id] = actor
    traces = tracemalloc.take_snapshot().traces
    tracemalloc.stop()
    allocated = sum((trace.size + 15) & ~15 for trace in traces)  # as the allocator rounds
    assert sum(map(weigh, actors.values())) == pytest.approx(allocated, rel=0.15)
