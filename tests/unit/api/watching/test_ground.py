"""The ground on a door: pages no older than the feed, and changes from whoever still knows them."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.feed.feeds import PartitionFeed
from flux_actors.log.memory import MemoryLog
from flux_actors.shard import reads
from flux_api.view import LiveView
from flux_api.watching.ground import Base, DoorGround, Recall, end_of
from tests.unit.api.standing import FakeCalls, change, readings, row, settle

RULE = Partitioning(4, frozenset({"wide"}))
HOME = RULE.of_entity("home/1")


class FakePast:
    """Remembers what a test says it does."""

    def __init__(self):
        self.known = []
        self.asked = []
        self.owned_since = {}

    async def changes(self, *arguments):
        self.asked.append(arguments)
        if isinstance(self.known, Exception):
            raise self.known
        return self.known

    def floors(self, partition):
        return self.owned_since


@pytest.fixture
def calls():
    return FakeCalls()


@pytest.fixture
def past():
    return FakePast()


@pytest.fixture
def log():
    return MemoryLog(4)


@pytest.fixture
def looks():
    return []


@pytest.fixture
def ground(calls, past, log, looks):
    parts = [PartitionFeed(partition) for partition in RULE.all()]
    for part in parts:
        part.reach(5)
    view = LiveView(RULE, calls, lambda partition: parts[partition].sequence)

    async def current():
        looks.append(1)

    return DoorGround(RULE, parts, calls, view, log, current, past)


def recalled(sequence, *changes):
    return reads.encode(reads.Recalled(sequence, list(changes)))


@pytest.mark.parametrize(
    ("pattern", "partitions"),
    [
        ("*", RULE.all()),
        ("wide/*", RULE.all()),
        ("home/*", (HOME,)),
        ("home/1", (HOME,)),
        ("home/a/*", (HOME,)),
    ],
)
def test_a_pattern_concerns_the_partitions_that_may_hold_its_ids(ground, pattern, partitions):
    assert ground.partitions_of(pattern) == partitions


async def test_a_page_comes_from_the_shard_after_a_look_at_who_may_see_it(ground, calls, looks):
    calls.answers["rows"] = reads.encode(reads.Rows(6, [row("home/1", {"v": 1})], "home/1"))
    assert await ground.base("home/*", HOME, "home/0") == Base(end_of(6), [row("home/1", {"v": 1})], "home/1")
    assert calls.asked == [("rows", HOME, "home/", "home/0")]
    assert looks == [1]


async def test_a_page_older_than_the_feed_is_none(ground, calls):
    calls.answers["rows"] = reads.encode(reads.Rows(4, [], None))
    with pytest.raises(Unavailable):
        await ground.base("home/*", HOME, None)


async def test_one_entity_comes_from_the_view(ground, calls):
    calls.answers["get"] = readings(7, row("home/1", {"v": 1}, 3), partition=HOME)
    assert await ground.base("home/1", HOME, None) == Base(end_of(7), [row("home/1", {"v": 1}, 3)], None)
    calls.answers["get"] = readings(7, partition=HOME)
    assert await ground.base("home/2", HOME, None) == Base(end_of(7), [], None)


async def test_changes_come_from_the_shard_as_long_as_it_knows_them(ground, calls, past):
    calls.answers["recall"] = recalled(6, change("home/1", {"v": 1}, 6))
    assert await ground.recall("home/*", HOME, pack(5, 0)) == Recall(
        end_of(6), [change("home/1", {"v": 1}, 6)]
    )
    assert past.asked == []


async def test_then_from_the_log_up_to_where_the_feed_is(ground, calls, past):
    calls.answers["recall"] = reads.encode(reads.Recalled(6, None))
    past.known = [change("home/1", {"v": 1}, 4), change("home/11", {"v": 1}, 5)]
    assert await ground.recall("home/1", HOME, pack(2, 0)) == Recall(
        end_of(5), [change("home/1", {"v": 1}, 4)]
    )
    assert past.asked == [(HOME, "home/1", pack(2, 0), 5)]


async def test_nobody_remembers_what_the_log_has_no_longer(ground, calls, past):
    calls.answers["recall"] = reads.encode(reads.Recalled(6, None))
    past.known = Refused("gone", 410)
    assert await ground.recall("home/*", HOME, pack(2, 0)) is None


async def test_a_past_that_is_away_is_asked_some_times(ground, calls, past, monkeypatch):
    monkeypatch.setattr("flux_actors.feed.patience._RETRY_S", (0.0, 0.0))
    calls.answers["recall"] = reads.encode(reads.Recalled(6, None))
    past.known = Unavailable("busy")
    assert await ground.recall("home/*", HOME, pack(2, 0)) is None
    assert 1 < len(past.asked) < 20


async def test_too_many_are_not_told_again(ground, calls, past, monkeypatch):
    monkeypatch.setattr(limits, "resume_changes_max", 1)
    both = [change("home/1", {"v": 1}, 6), change("home/1", {"v": 2}, 6)]
    calls.answers["recall"] = recalled(6, *both)
    assert await ground.recall("home/*", HOME, pack(5, 0)) is None
    calls.answers["recall"] = reads.encode(reads.Recalled(6, None))
    past.known = both
    assert await ground.recall("home/*", HOME, pack(5, 0)) is None


async def test_a_shard_that_is_behind_the_feed_is_asked_again_later(ground, calls):
    calls.answers["recall"] = recalled(4)
    with pytest.raises(Unavailable):
        await ground.recall("home/*", HOME, pack(2, 0))


async def test_a_position_ahead_of_the_shard_is_waited_for_if_the_log_has_it(ground, calls, log):
    for number in range(8):
        await log.append(HOME, b"block", str(number), 1.0)
    calls.answers["recall"] = recalled(6)
    assert await ground.recall("home/*", HOME, pack(8, 3)) == Recall(pack(8, 3), [])
    assert await ground.recall("home/*", HOME, pack(9, 0)) is None


@pytest.mark.parametrize(("pattern", "told"), [("home/*", False), ("*", False), ("homes/*", True)])
async def test_of_another_owner_s_time_nobody_is_told(ground, calls, past, pattern, told):
    calls.answers["recall"] = recalled(6)
    past.owned_since = {"home": pack(4, 0)}
    assert (await ground.recall(pattern, HOME, pack(3, 0)) is not None) == told
    assert await ground.recall(pattern, HOME, pack(4, 0)) is not None


async def test_calls_of_those_who_went_count_until_they_are_answered(ground, calls):
    answers = []

    def answer(*_):
        answers.append(asyncio.get_running_loop().create_future())
        return answers[-1]

    calls.answers = {"rows": answer, "recall": answer}
    for _ in range(3):
        for ask in (ground.base("home/*", HOME, None), ground.recall("home/*", HOME, pack(5, 0))):
            asked = asyncio.create_task(ask)
            await settle()
            asked.cancel()
    waiting = [asyncio.create_task(ground.base("home/*", HOME, None)) for _ in range(20)]
    await settle()
    assert len(answers) == limits.bases_at_once
    for one in answers[:3]:
        one.set_exception(Unavailable("away"))
    await settle()
    assert len(answers) == limits.bases_at_once + 3
    for task in waiting:
        task.cancel()
