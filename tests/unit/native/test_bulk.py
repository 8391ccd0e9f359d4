"""Many events: all or none are taken, in order, in blocks; what got no answer is told by its place."""

from __future__ import annotations

import pickle
from types import MappingProxyType

import pytest

from flux_actors import limits
from flux_actors.errors import NotAllDurable, Refused, Unavailable
from flux_actors.log.block import decode_block
from flux_actors.log.committer import Committer
from flux_actors.native.ticket import Ticket
from tests.unit.native.twin import RULE, holder, introduction


async def blocks(log):
    """Return the events of each block of each partition, in log order."""
    return [
        decode_block(await log.block(partition, sequence)).events
        for partition in RULE.all()
        for sequence in range(1, (await log.bounds(partition)).last + 1)
    ]


def logged(twin):
    return twin.thread.run(blocks(twin.log))


def test_events_go_in_whole_blocks_and_in_order(twin, fx):
    count = 2 * limits.block_events_max + 5
    receipts = fx.publish_many((f"home/{n % 7}", {"n": n}) for n in range(count))
    found = logged(twin)
    assert [len(block) for block in found] == [limits.block_events_max] * 2 + [5]
    events = [event for block in found for event in block]
    assert [event.properties["n"] for event in events] == list(range(count))
    assert [event.event_id for event in events] == receipts.event_ids
    assert all(event.named_by_client for event in events)
    assert receipts.position == fx.position
    assert fx.entity(f"home/{(count - 1) % 7}").state() == {"n": count - 1}


def test_each_partition_has_its_own(twin, fx):
    receipts = fx.publish_many([(f"wide/{n}", {"n": n}) for n in range(300)])
    assert set(receipts.positions) == set(RULE.all())
    assert receipts.position.count("~") == 2
    for block in logged(twin):
        numbers = [event.properties["n"] for event in block]
        assert numbers == sorted(numbers)


def test_large_events_go_in_smaller_blocks(twin, fx):
    text = "x" * (100 << 10)
    fx.publish_many([("home/x", {"n": n, "text": text}) for n in range(12)])
    found = logged(twin)
    assert [event.properties["n"] for block in found for event in block] == list(range(12))
    assert len(found) > 1
    fx.publish_many([("home/small", {}), ("home/large", {"text": "x" * (3 << 20)})])
    assert len(fx.entity("home/large").state()["text"]) == 3 << 20


def test_none_is_published_and_nothing_when_one_is_refused(twin, fx):
    good = [(f"home/{n}", {"n": n}) for n in range(limits.block_events_max)]
    for bad, status in (
        (("flux-core/x", {}), 403),
        (("", {}), 400),
        ((None, {}), 400),
        (("home/x", None), 400),
        (("home/x", {"n": float("nan")}), 400),
        (("home/x", {"n": 1 << 64}), 400),
        (("home/x", {"n": [1 << 64]}), 400),
        (("home/x", {"n": "\ud800"}), 400),
        (("home/x", {"n": "x" * (17 << 20)}), 413),
        ("home/x", 400),
        (5, 400),
    ):
        with pytest.raises(Refused, match=f"event {len(good)}") as refused:
            fx.publish_many([*good, bad])
        assert (refused.value.status, refused.value.more) == (status, {"index": len(good)})
    assert logged(twin) == []
    assert fx.publish_many([]).position == ""


def test_ids_that_are_given_count_once(twin, fx):
    fx.publish_many([("home/x", {"n": 1})], event_ids=["mine"])
    fx.publish_many([("home/x", {"n": 2})], event_ids=["mine"])
    assert fx.entity("home/x").state() == {"n": 1}
    for wrong in ([], ["a", "b"], [""]):
        with pytest.raises(Refused):
            fx.publish_many([("home/x", {"n": 1})], event_ids=wrong)


def test_shards_need_not_remember_the_ids(twin, fx):
    fx.publish_many([("home/x", {"n": 1})], once=False)
    assert [event.named_by_client for block in logged(twin) for event in block] == [False]


def test_any_mapping_and_any_id_will_do(twin, fx):
    fx.publish_many([("home/ä\u200b", MappingProxyType({"n": (1, 2)}))])
    assert fx.entity("home/ä\u200b").state() == {"n": [1, 2]}


def test_what_a_token_is_good_for_counts_for_each(twin):
    twin.introduction = introduction(holder("home", prefix="home/kitchen/"), 10.0)
    fx = twin.flux(Ticket("token"))
    fx.publish_many([("home/kitchen/x", {})])
    with pytest.raises(Refused, match="event 1") as refused:
        fx.publish_many([("home/kitchen/x", {}), ("home/hall/x", {})])
    assert refused.value.status == 403


def test_what_got_no_answer_is_told_and_can_be_published_again(twin, fx, monkeypatch):
    monkeypatch.setattr(limits, "append_deadline_s", 0.01)
    monkeypatch.setattr(limits, "append_timeout_s", 0.01)
    monkeypatch.setattr(limits, "append_retry_s", 0.001)
    append = twin.log.append
    seen = []

    async def fails_once(partition, data, block_id, timeout_s):
        sequence = await append(partition, data, block_id, timeout_s)
        seen.append(block_id)
        if len(set(seen)) == 2:
            raise Unavailable("stored, and nobody is told")
        return sequence

    monkeypatch.setattr(twin.log, "append", fails_once)
    count = 8 * limits.block_events_max
    pairs = [(f"home/{n}", {"n": n}) for n in range(count)]
    with pytest.raises(NotAllDurable, match="publish them again") as failed:
        fx.publish_many(pairs)
    error = pickle.loads(pickle.dumps(failed.value))  # noqa: S301 - our own
    monkeypatch.setattr(twin.log, "append", append)
    assert error.indexes == sorted(error.indexes)
    assert limits.block_events_max in error.indexes
    assert 0 not in error.indexes
    assert count - 1 in error.indexes  # behind the one that failed nothing more was sent
    assert error.position == fx.position
    durable = sorted(set(range(count)) - set(error.indexes))
    assert durable
    assert all(fx.states([f"home/{n}" for n in durable]).values())

    fx.publish_many([pairs[n] for n in error.indexes], event_ids=error.event_ids)
    assert fx.states([one for one, _ in pairs]) == dict(pairs)
    assert twin.thread.run(applied(twin)) == count  # those that were stored count once


async def applied(twin):
    partition = RULE.of_entity("home/x")
    await twin.shard._hosts[partition].reached((await twin.log.bounds(partition)).last)  # noqa: SLF001
    return sum(row.events_total for row in await twin.shard.status())


def test_a_full_committer_is_waited_for(twin, fx, monkeypatch):
    put, refusals = Committer.put, iter(range(3))

    def full(self, *arguments, **options):
        if next(refusals, None) is not None:
            raise Unavailable("full")
        put(self, *arguments, **options)

    monkeypatch.setattr(Committer, "put", full)
    fx.publish_many([("home/x", {"n": 1})])
    assert fx.entity("home/x").state() == {"n": 1}


def test_a_committer_that_stays_full_is_told_of(fx, monkeypatch):
    monkeypatch.setattr(limits, "append_deadline_s", 0.01)

    def full(self, *arguments, **options):
        raise Unavailable("full")

    monkeypatch.setattr(Committer, "put", full)
    with pytest.raises(NotAllDurable) as failed:
        fx.publish_many([("home/x", {"n": 1}), ("home/y", {"n": 1})], event_ids=["a", "b"])
    assert (failed.value.indexes, failed.value.event_ids) == ([0, 1], ["a", "b"])
