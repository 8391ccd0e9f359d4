"""The door's place in the feeds: every change once and in order, gaps seen and repaired."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from flux_actors.errors import Unavailable
from flux_actors.feed import feeds as feed_module
from flux_actors.feed.feeds import Feeds, PartitionFeed
from flux_actors.log.memory import MemoryBus
from flux_actors.shard import reads
from tests.unit.api.standing import FakeCalls, change, feed, row, say, until


@dataclass
class Heard:
    """A listener that keeps what it hears."""

    changes: list[tuple[str, object]] = field(default_factory=list)
    lost: list[tuple[int, list[str]]] = field(default_factory=list)
    sources: list[str] = field(default_factory=list)
    listens: bool = True

    def on_changes(self, changes):
        self.changes += [(item.entity_id, item.properties) for item in changes]

    def on_lost(self, partition, rows):
        self.lost.append((partition, [item.entity_id for item in rows]))

    def values(self):
        return [properties["v"] for _, properties in self.changes]


@pytest.fixture
def bus():
    return MemoryBus()


@pytest.fixture
def calls():
    return FakeCalls()


@pytest.fixture
def heard():
    return Heard()


@pytest.fixture
async def feeds(bus, calls, heard, monkeypatch):
    monkeypatch.setattr(feed_module, "_RETRY_S", 0.0)
    feeds = Feeds([PartitionFeed(0), PartitionFeed(1)], bus, calls, heard, heard.sources.extend)
    await feeds.open()
    yield feeds
    await feeds.close()


@pytest.fixture
def part(feeds):
    return feeds.parts[0]


def message(after, sequence):
    """Return the feed message of the blocks behind `after`, each with one change of its own number."""
    changes = [change("n/e", {"v": number}, number) for number in range(after + 1, sequence + 1)]
    return feed(after, sequence, *changes)


async def test_the_first_message_gives_the_place(bus, heard, part):
    assert (part.sequence, part.ready) == (None, False)
    await say(bus, [feed(7, 7)])
    assert (part.sequence, part.ready, heard.changes) == (7, True, [])


async def test_changes_of_the_first_message_are_heard(bus, heard, part):
    await say(bus, [message(7, 9)])
    assert (part.sequence, heard.values()) == (9, [8, 9])


async def test_changes_are_heard_in_order_and_once(bus, heard, part):
    await say(bus, [message(0, 1), message(1, 3), message(3, 4)])
    assert (part.sequence, heard.values()) == (4, [1, 2, 3, 4])


async def test_what_a_zombie_says_again_is_not_heard_again(bus, heard, part):
    await say(bus, [message(0, 3), message(0, 2), message(0, 3), message(2, 3)])
    assert (part.sequence, heard.values()) == (3, [1, 2, 3])


async def test_of_a_message_known_in_part_the_new_part_is_heard(bus, heard, part):
    await say(bus, [message(0, 3), message(1, 5)])
    assert (part.sequence, heard.values()) == (5, [1, 2, 3, 4, 5])


async def test_partitions_do_not_disturb_each_other(bus, heard, feeds):
    await say(bus, [message(0, 3)])
    await say(bus, [feed(4, 5, change("m/e", {"v": 50}, 5), partition=1)], partition=1)
    assert [part.sequence for part in feeds.parts] == [3, 5]
    assert heard.values() == [1, 2, 3, 50]


async def test_a_gap_is_repaired_from_the_shards_messages(bus, calls, heard, part):
    calls.answers["repair"] = reads.encode(reads.Repair(4, [message(0, 2), message(2, 4)], []))
    await say(bus, [message(0, 1), message(3, 4), message(4, 5)])
    await until(lambda: part.sequence == 5)
    assert heard.values() == [1, 2, 3, 4, 5]
    assert calls.asked == [("repair", 0, 1)]
    assert part.ready
    assert (part.gaps, part.losses) == (1, 0)


async def test_what_comes_while_a_gap_is_repaired_waits_for_its_turn(bus, calls, heard, part):
    repaired = asyncio.get_running_loop().create_future()
    calls.answers["repair"] = lambda *_: repaired
    await say(bus, [message(0, 1), message(2, 3)])
    await say(bus, [message(3, 4), message(4, 6)])
    assert (heard.values(), part.ready) == ([1], False)
    repaired.set_result(reads.encode(reads.Repair(3, [message(1, 3)], [])))
    await until(lambda: part.sequence == 6)
    assert heard.values() == [1, 2, 3, 4, 5, 6]


async def test_a_gap_behind_a_gap_is_repaired_as_well(bus, calls, heard, part):
    repairs = iter([reads.Repair(3, [message(1, 3)], []), reads.Repair(7, [message(3, 7)], [])])
    calls.answers["repair"] = lambda *_: reads.encode(next(repairs))
    await say(bus, [message(0, 1), message(2, 3), message(6, 7), message(7, 8)])
    await until(lambda: part.sequence == 8)
    assert heard.values() == list(range(1, 9))


async def test_a_backlog_past_its_bound_is_repaired_like_any_gap(bus, calls, heard, part, monkeypatch):
    monkeypatch.setattr(feed_module, "_BACKLOG_MAX", 2)
    repaired = asyncio.get_running_loop().create_future()
    later = reads.encode(reads.Repair(5, [message(3, 5)], []))
    answers = iter([repaired, later])
    calls.answers["repair"] = lambda *_: next(answers)
    await say(bus, [message(0, 1), *(message(number, number + 1) for number in range(2, 7))])
    assert len(part.backlog) == 2
    repaired.set_result(reads.encode(reads.Repair(3, [message(1, 3)], [])))
    await until(lambda: part.sequence == 7)
    assert heard.values() == [1, 2, 3, 4, 5, 6, 7]


async def test_a_repair_waits_for_a_shard_that_is_away(bus, calls, heard, part):
    answers = iter([Unavailable("recovering")] * 3 + [reads.encode(reads.Repair(3, [message(1, 3)], []))])
    calls.answers["repair"] = lambda *_: next(answers)
    await say(bus, [message(0, 1), message(2, 3)])
    await until(lambda: part.sequence == 3)
    assert heard.values() == [1, 2, 3]
    assert len(calls.asked) == 4


async def test_when_the_messages_are_gone_it_hears_all_that_changed_since(bus, calls, heard, part):
    rows = [row("n/a", {"v": 1}, 5), row("n/gone", None, 6)]
    calls.answers["repair"] = reads.encode(reads.Repair(6, None, rows))
    await say(bus, [message(0, 1), message(5, 6), message(6, 7)])
    await until(lambda: part.sequence == 7)
    assert heard.lost == [(0, ["n/a", "n/gone"])]
    assert heard.values() == [1, 7]
    assert (part.gaps, part.losses) == (1, 1)


async def test_counts_and_sources_are_those_of_the_newest_message(bus, heard, part):
    await say(bus, [message(0, 3), message(0, 1), message(0, 3)])
    assert (part.events_total, part.entities, part.epoch) == (3, 1, 1)
    assert heard.sources == ["source"]
    await say(bus, [feed(3, 3, epoch=4)])
    assert part.epoch == 4


async def test_while_nobody_listens_changes_are_passed_over_and_the_place_goes_on(bus, heard, part):
    heard.listens = False
    await say(bus, [message(0, 3)])
    heard.listens = True
    await say(bus, [message(2, 5)])
    assert (part.sequence, heard.values()) == (5, [4, 5])
    assert heard.sources == ["source", "source"]


async def test_one_not_heard_for_long_is_not_ready(bus, part, monkeypatch):
    await say(bus, [feed(1, 1)])
    assert part.ready
    monkeypatch.setattr(part, "heard_at", part.heard_at - 10)
    assert not part.ready


async def test_a_position_is_waited_for(bus, part):
    waiting = [asyncio.create_task(part.reached(sequence, 5)) for sequence in (1, 2, 3)]
    await say(bus, [message(0, 2)])
    assert [task.done() for task in waiting] == [True, True, False]
    await say(bus, [message(2, 3)])
    assert waiting[2].done()


async def test_a_position_that_does_not_come_in_time_is_unavailable(bus, part):
    await say(bus, [message(0, 2)])
    await part.reached(2, 0)
    with pytest.raises(Unavailable, match="has not come to that position yet"):
        await part.reached(3, 0.001)
    await say(bus, [message(2, 3)])


async def test_each_shard_is_asked_for_its_place_once(calls, feeds):
    calls.answers["announce"] = None
    await feeds.ask_for_places()
    assert calls.asked == [("announce",)]
    calls.owners, calls.asked = {0: "one", 1: "two"}, []
    calls.answers["announce"] = Unavailable("recovering")
    await feeds.ask_for_places()
    assert calls.asked == [("announce",)] * 2


async def test_closing_ends_repairs_and_hears_no_more(bus, calls, heard):
    feeds = Feeds([PartitionFeed(0)], bus, calls, heard, heard.sources.extend)
    await feeds.open()
    repair = asyncio.get_running_loop().create_future()
    calls.answers["repair"] = lambda *_: repair
    await say(bus, [message(0, 1), message(4, 5)])
    await feeds.close()
    await say(bus, [message(5, 6)])
    assert repair.cancelled()
    assert heard.values() == [1]
