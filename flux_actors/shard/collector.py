"""The garbage collector of a shard's process, which holds millions of objects that no cycle needs.

Python's own schedule walks every object that the collector knows, each time a quarter more have come: 0.2 s
of the loop with a million entities. Entity actors are freed by their reference counts, since they hold no
cycles. So the schedule is off, and instead what came since the last time is collected once, before it
grows large, and then frozen: whatever is still there is not walked again (docs/decisions/006).
"""

from __future__ import annotations

import asyncio
import gc
from typing import Final, NoReturn

_EVERY_S: Final = 0.1
_YOUNG_MIN: Final = 10_000  # about a millisecond to walk; until then cycles may wait


async def collect_young() -> NoReturn:
    """Keep the collector for this process, in place of Python's schedule, until cancelled."""
    gc.disable()
    gc.freeze()  # what the process is made of stays
    try:
        while True:
            await asyncio.sleep(_EVERY_S)
            if gc.get_count()[0] >= _YOUNG_MIN:
                gc.collect()  # the young alone: the others are frozen
                gc.freeze()
    finally:
        gc.enable()
