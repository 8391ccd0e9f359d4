"""The ends of a backup: a message that counts as handled has its effects in it."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.backup import ends
from flux_actors.backup.ends import ends_of
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.terms import Terms
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.memory import MemoryLog
from flux_actors.log.ports import LogBounds
from flux_actors.reporting import Reporter

PLAIN = Event("a/1", {"v": 1}, "e", False, "s", "t", 1)
EFFECT = with_terms(PLAIN, Terms(cause=Cause(1, "b/1", 1 << limits.offset_bits, 0, 0)))
NOTE = with_terms(Event(None, None, "e", False, "s", "t", 1), Terms(handled=[1 << limits.offset_bits]))


class BusyLog(MemoryLog):
    """A log in which things happen right behind a look at partition 0, and so before one at partition 1."""

    def __init__(self) -> None:
        super().__init__(2)
        self.happens: list[list[tuple[int, Event | bytes]]] = []
        self.looks = 0

    async def bounds(self, partition: int) -> LogBounds:
        found = await super().bounds(partition)
        if partition == 0:
            self.looks += 1
            for where, event in self.happens.pop(0) if self.happens else []:
                self.put(where, event)
        return found

    def put(self, partition: int, event: Event | bytes) -> None:
        """Append at once: between two looks there is no time for anything else."""
        kept = self._partitions[partition]
        kept.last += 1
        if isinstance(event, Event):
            event = encode_block(1, kept.last, 1, [encode_event(event)], termed=event is not PLAIN)
        kept.blocks[kept.last] = event


async def found(log: BusyLog) -> tuple[int, int]:
    one, two = await ends_of(log, 2, Reporter(print))
    return one.last, two.last


async def test_log_in_which_nothing_happens_ends_where_it_ends() -> None:
    log = BusyLog()
    log.put(1, PLAIN)
    assert (await found(log), log.looks) == ((0, 1), 2)


async def test_effect_and_note_between_two_partitions_are_both_in_it() -> None:
    log = BusyLog()
    log.happens = [[(0, EFFECT), (1, NOTE)]]
    assert await found(log) == (1, 1)


@pytest.mark.parametrize("number", [1, 2, 5])
async def test_it_looks_again_until_nothing_was_noted_between_two_looks(number: int) -> None:
    log = BusyLog()
    log.happens = [[], [(0, EFFECT), (1, NOTE)]] * number
    assert await found(log) == (number, number)
    assert log.looks == 2 * (number + 1)


async def test_other_events_are_no_reason_to_look_again() -> None:
    log = BusyLog()
    log.happens = [[], [(0, PLAIN), (1, PLAIN), (1, EFFECT), (1, b"torn"), (1, b"FX\x03 torn")]]
    assert (await found(log), log.looks) == ((0, 4), 2)


async def test_log_that_is_never_quiet_is_backed_up_and_that_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ends, "_TRIES", 3)
    log = BusyLog()
    log.happens = [[(1, NOTE)] for _ in range(20)]
    told: list[str] = []
    assert (await ends_of(log, 2, Reporter(told.append)))[1].last == 7
    assert len(told) == 1
    assert "too busy" in told[0]
