"""What a pending reminder costs in memory, in a process that holds nothing else.

`python -m flux_bench.reminder_memory ENTITIES` prints the megabytes of the state that their reminders add, as
JSON: the state is folded block by block, as a shard does it, first the entities and then one reminder for
each, as their behaviours set it. Checked: every reminder is pending, and all of them fall due.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Callable
from typing import Any, Final

import psutil

from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import pack
from flux_actors.domain.terms import Terms
from flux_actors.log.block import decode_block_heads, encode_block, encode_event
from flux_bench.metering import MB
from flux_bench.sample import sample_event

_BLOCK_EVENTS: Final = 500
_CLOCK_US: Final = 1_700_000_000_000_000
_AFTER_MS: Final = 3_600_000


def measure(entities: int) -> dict[str, Any]:
    """Return megabytes: of all, and of the reminders alone."""
    state = PartitionState(0, history_positions=0)
    process = psutil.Process()
    before = _rss(process)
    _fill(state, entities, lambda number: sample_event(number, entities), termed=False)
    filled = _rss(process)
    _fill(state, entities, _reminding, termed=True)
    reminded = _rss(process)
    pending = sum(len(actor.leases.reminder_rows()) for actor in state.entities.values() if actor.leases)
    due = len(state.timers.due(_CLOCK_US + entities + _AFTER_MS * 2_000, entities + 1))
    if pending != entities or due != entities:
        raise SystemExit(f"{pending} reminders are pending and {due} are due, of {entities}")
    return {"mb": (reminded - filled) / MB, "all_mb": (reminded - before) / MB}


def _fill(state: PartitionState, entities: int, event_of: Callable[[int], bytes], *, termed: bool) -> None:
    for first in range(0, entities, _BLOCK_EVENTS):
        sequence = state.sequence + 1
        events = [event_of(number) for number in range(first, min(first + _BLOCK_EVENTS, entities))]
        block = encode_block(1, sequence, _CLOCK_US + sequence, events, termed=termed)
        state.apply([(sequence, decode_block_heads(block))])


def _reminding(number: int) -> bytes:
    """Return the effect by which the behaviour of an entity sets its reminder."""
    entity_id = f"bench/sensor-{number:06d}"
    message = pack(1 + number // _BLOCK_EVENTS, number % _BLOCK_EVENTS)
    cause = Cause(0, entity_id, message, 0, message)
    event = Event(
        entity_id,
        {},
        f"effect.0.{message}.0",
        named_by_client=False,
        source="flux-behaviour.Bench",
        stream="flux.effect",
        timestamp_ms=1,
    )
    return encode_event(with_terms(event, Terms(cause=cause, remind={"check": _AFTER_MS + number})))


def _rss(process: psutil.Process) -> int:
    gc.collect()
    return int(process.memory_info().rss)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
