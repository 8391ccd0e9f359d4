"""What an entity costs in memory, measured in a process that holds nothing else.

`python -m flux_bench.entity_memory ENTITIES` prints the bytes of each as JSON. Blocks are decoded and
folded as a shard does it, block by block, and each entity is written twice, so that what belongs to the
events and not to the state is gone again. Checked: every entity is there with its three properties.
"""

from __future__ import annotations

import gc
import inspect
import json
import sys
from typing import Any, Final

import psutil

from flux_actors.domain.fold import PartitionState
from flux_actors.log.block import decode_block, encode_block
from flux_bench.sample import sample_event

_BLOCK_EVENTS: Final = 500
_HISTORY: Final = "history_positions"


def measure(entities: int) -> dict[str, Any]:
    """Return the bytes of an entity, of which history, and whether history could be switched off."""
    can = _HISTORY in inspect.signature(PartitionState).parameters
    options: dict[str, Any] = {_HISTORY: 0} if can else {}
    state = PartitionState(0, **options)
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    _fill(state, entities)
    gc.collect()
    grown = process.memory_info().rss - before
    if state.alive != entities or any(_properties(actor) != 3 for actor in state.entities.values()):
        raise SystemExit("the state is not what was folded")
    history = 0 if can else sum(map(_history_bytes, state.entities.values())) / entities
    return {"bytes": grown / entities, "history_bytes": history, "history_off": can}


def _fill(state: PartitionState, entities: int) -> None:
    sequence = 0
    for _ in range(2):
        for first in range(0, entities, _BLOCK_EVENTS):
            sequence += 1
            numbers = range(first, min(first + _BLOCK_EVENTS, entities))
            block = encode_block(
                1, sequence, sequence, [sample_event(number, entities) for number in numbers]
            )
            state.apply([(sequence, decode_block(block))])


def _properties(actor: Any) -> int:
    return len(actor.properties or ())


def _history_bytes(actor: Any) -> int:
    history = getattr(actor, "history", None)
    return 0 if history is None else sys.getsizeof(history)


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
