"""What committers count."""

from __future__ import annotations

from flux_actors import limits
from flux_actors.log.commit_meter import CommitMeter
from flux_actors.log.committer import Committer
from tests.unit.log.virtual_clock import on_virtual_clock, settled
from tests.unit.log.watched_log import IDENTITY, WatchedLog, event, publish


def test_a_block_counts_once_in_each_histogram():
    meter = CommitMeter()
    meter.durable(0.3, 0.2, 5, 1_000)
    for histogram, value in (
        (meter.commit_s, 0.3),
        (meter.append_s, 0.2),
        (meter.block_events, 5),
        (meter.block_bytes, 1_000),
    ):
        assert sum(histogram.counts) == 1
        assert histogram.total == value


@on_virtual_clock
async def test_the_oldest_event_of_a_block_counts_with_its_wait(log: WatchedLog) -> None:
    meter = CommitMeter()
    committer = Committer(log, 0, IDENTITY, lambda: 7, meter=meter)
    log.gate.clear()
    publish(committer, "first")
    await settled()
    waiting = publish(committer, "second", "third")
    await settled()
    assert committer.waiting == (2, len(event("second")) + len(event("third")))
    log.gate.set()
    await waiting
    assert sum(meter.commit_s.counts) == 2
    assert meter.block_events.total == 3
    assert committer.waiting == (0, 0)


@on_virtual_clock
async def test_blocks_that_are_sent_again_and_given_up_are_counted(log: WatchedLog) -> None:
    meter = CommitMeter()
    committer = Committer(log, 0, IDENTITY, lambda: 7, meter=meter)
    log.silent = True
    await publish(committer, "a", "b")
    assert meter.failures == 2
    assert meter.retries == len(log.tries) - 1 > 0
    assert sum(meter.commit_s.counts) == 0
    assert limits.append_deadline_s > 0
