"""Writing events, each as a block of its own whose clock is its number."""

from __future__ import annotations

from collections.abc import Iterable

from flux_actors.domain.event import Event
from flux_actors.log.block import encode_block, encode_event
from tests.unit.past.folding import Folding


async def write(folding: Folding, events: Iterable[Event]) -> Folding:
    for event in events:
        number = len(folding.blocks) + 1
        await folding.write(encode_block(1, number, number, [encode_event(event)]))
    return folding
