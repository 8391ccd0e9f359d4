"""A process's place in the feed: opened once, by whoever needs it first, for all who listen."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.log.memory import MemoryBus
from flux_actors.native.following import Following
from tests.unit.api.standing import FakeCalls, change, feed, say


class Listener:
    def __init__(self):
        self.heard = []

    def on_changes(self, changes):
        self.heard += [one.entity_id for one in changes]

    def on_lost(self, partition, rows):
        self.heard.append((partition, len(rows)))


class Way:
    """Opens the way to the shards, after some failures."""

    def __init__(self, failures=0):
        self.failures = failures
        self.opened = 0
        self.stopped = 0

    async def open(self):
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise Unavailable("no topology")
        self.opened += 1
        calls = FakeCalls({"announce": None})
        calls.stop = self.stop
        return calls

    async def stop(self):
        self.stopped += 1


@pytest.fixture
def bus():
    return MemoryBus()


async def test_it_is_opened_once_and_hands_on_what_it_hears(bus):
    way = Way()
    following = Following(Partitioning(2), bus, way.open)
    assert not following.listens
    first, second = Listener(), Listener()
    await asyncio.gather(following.open(), following.open())
    following.add(first)
    following.add(second)
    await say(bus, [feed(0, 1, change("a/x", {}, 1))])
    following.remove(second)
    following.remove(second)
    await say(bus, [feed(1, 2, change("a/y", {}, 2))])
    following.on_lost(1, [])
    assert (first.heard, second.heard) == (["a/x", "a/y", (1, 0)], ["a/x"])
    assert way.opened == 1
    await following.close()
    assert way.stopped == 1


async def test_one_that_failed_to_open_is_opened_by_the_next(bus):
    following = Following(Partitioning(1), bus, Way(failures=1).open)
    with pytest.raises(Unavailable):
        await following.open()
    await following.close()
    await following.open()
    await following.close()


async def test_what_was_refused_is_known_once_the_feed_has_come_to_it(bus):
    following = Following(Partitioning(1), bus, Way().open)
    await following.open()
    await say(bus, [feed(4, 5)])
    following.parts[0].verdicts.hear([5 << 12 | 1])
    assert await following.refused(0, 5 << 12 | 1, 1.0)
    assert not await following.refused(0, 5 << 12, 1.0)
    with pytest.raises(Unavailable, match="same eventId"):
        await following.refused(0, 4 << 12, 1.0)
    with pytest.raises(Unavailable):
        await following.refused(0, 6 << 12, 0.001)
    await following.close()
