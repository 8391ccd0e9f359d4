"""The live view: what was read stays fresh, and nothing falls between a shard's answer and the feed."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from flux_actors import limits
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import pack
from flux_actors.errors import Refused, Unavailable
from flux_actors.shard import reads
from flux_api.view import LiveView
from tests.unit.api.standing import FakeCalls, change, readings, row, settle


@pytest.fixture
def calls():
    return FakeCalls({"get": readings(5)})


@pytest.fixture
async def view(calls):
    view = LiveView(Partitioning(1), calls, lambda _: 0)
    yield view
    await view.close()
    await settle()


def shard_of(sequence, *rows):
    """Return a shard's `get`, which answers for the ids it is asked for."""

    def get(wanted):
        return readings(sequence, *(item for item in rows if item.entity_id in wanted[0]))

    return get


async def test_an_entity_is_fetched_once_and_then_kept(view, calls):
    calls.answers["get"] = shard_of(5, row("n/e", {"v": 1}, 3))
    first = await view.get("n/e")
    assert (first.properties, first.etag) == ({"v": 1}, '"0.3.0"')
    assert await view.get("n/e") is first is view.kept("n/e")
    assert calls.asked == [("get", {0: ["n/e"]})]
    assert len(view) == 1


async def test_that_there_is_none_is_kept_as_well(view, calls):
    assert not (await view.get("n/none")).lives
    assert not (await view.get("n/none")).lives
    assert len(calls.asked) == 1


async def test_what_is_kept_follows_the_feed(view, calls):
    calls.answers["get"] = shard_of(5, row("n/e", {"v": 1}, 3))
    await view.get_many(["n/e", "n/none"])
    view.on_changes([change("n/e", {"v": 6}, 6), change("n/none", {"w": 6}, 6), change("n/other", {}, 6)])
    assert [entity.properties for entity in await view.get_many(["n/e", "n/none"])] == [{"v": 6}, {"w": 6}]
    assert len(calls.asked) == 1


async def test_what_the_feed_says_while_a_fetch_is_under_way_comes_on_top_of_the_answer(view, calls):
    answer = asyncio.get_running_loop().create_future()
    calls.answers["get"] = lambda _: answer
    reader = asyncio.create_task(view.get("n/e"))
    await settle()
    view.on_changes([change("n/e", {"v": 4}, 4), change("n/e", {"w": 6}, 6)])
    answer.set_result(readings(5, row("n/e", {"v": 5}, 5)))
    assert (await reader).properties == {"v": 5, "w": 6}


async def test_an_answer_ahead_of_the_feed_takes_nothing_twice(view, calls):
    calls.answers["get"] = shard_of(9, row("n/e", {"v": 9}, 9))
    await view.get("n/e")
    view.on_changes([change("n/e", {"v": 7}, 7), change("n/e", {"v": 9}, 9)])
    assert (await view.get("n/e")).properties == {"v": 9}
    view.on_changes([change("n/e", {"v": 10}, 10)])
    assert (await view.get("n/e")).properties == {"v": 10}


async def test_all_that_is_wanted_at_once_is_one_call(view, calls):
    calls.answers["get"] = shard_of(5, row("n/a", {"v": 1}), row("n/b", {"v": 2}))
    await asyncio.gather(view.get("n/a"), view.get("n/a"), view.get("n/b"), view.get_many(["n/b", "n/c"]))
    assert calls.asked == [("get", {0: ["n/a", "n/b", "n/c"]})]


async def test_very_many_are_several_calls(view, calls, monkeypatch):
    monkeypatch.setattr(limits, "fetch_ids_max", 2)
    await view.get_many([f"n/{number}" for number in range(5)])
    assert [len(wanted[0]) for _, wanted in calls.asked] == [2, 2, 1]


async def test_each_shard_is_asked_for_its_own():
    rule = Partitioning(4)
    calls = FakeCalls(owners={partition: f"shard-{partition % 2}" for partition in range(4)})

    def get(wanted):
        assert len({calls.owners[partition] for partition in wanted}) == 1
        return reads.encode({partition: reads.Readings(1, []) for partition in wanted})

    calls.answers["get"] = get
    view = LiveView(rule, calls, lambda _: 0)
    ids = [f"n{number}/e" for number in range(20)]
    assert [entity.entity_id for entity in await view.get_many(ids)] == ids
    assert len(calls.asked) == 2
    await settle()


async def test_many_come_in_the_order_they_were_asked_for_repeats_included(view, calls):
    calls.answers["get"] = shard_of(5, row("n/b", {"v": 2}), row("n/a", {"v": 1}))
    found = await view.get_many(["n/b", "n/none", "n/a", "n/b"])
    assert [(entity.entity_id, entity.lives) for entity in found] == [
        ("n/b", True),
        ("n/none", False),
        ("n/a", True),
        ("n/b", True),
    ]


async def test_a_shard_that_is_away_is_told_to_all_who_wait_and_asked_again_later(view, calls):
    calls.answers["get"] = Unavailable("recovering")
    for failed in await asyncio.gather(view.get("n/a"), view.get("n/a"), return_exceptions=True):
        assert isinstance(failed, Unavailable)
    calls.answers["get"] = shard_of(5, row("n/a", {"v": 1}))
    assert (await view.get("n/a")).lives


async def test_another_fault_of_a_shard_is_no_fault_of_the_reader(view, calls):
    calls.answers["get"] = Refused("no")
    with pytest.raises(Unavailable):
        await view.get("n/a")


async def test_what_is_kept_answers_while_the_shard_is_away(view, calls):
    calls.answers["get"] = shard_of(5, row("n/a", {"v": 1}))
    await view.get("n/a")
    calls.answers["get"] = Unavailable("recovering")
    assert (await view.get("n/a")).properties == {"v": 1}


async def test_a_reader_that_gives_up_leaves_the_others_waiting(view, calls):
    answer = asyncio.get_running_loop().create_future()
    calls.answers["get"] = lambda _: answer
    impatient, patient = (asyncio.create_task(view.get("n/e")) for _ in range(2))
    await settle()
    impatient.cancel()
    answer.set_result(readings(5, row("n/e", {"v": 1})))
    assert (await patient).lives


async def test_before_the_feed_has_begun_nothing_is_kept(calls):
    view = LiveView(Partitioning(1), calls, lambda _: None)
    await view.get("n/e")
    assert view.kept("n/e") is None


async def test_the_copies_of_a_partition_whose_changes_were_lost_are_read_anew(view, calls):
    calls.answers["get"] = shard_of(5, row("n/e", {"v": 1}))
    await view.get("n/e")
    view.forget(1)
    assert view.kept("n/e") is not None
    view.forget(0)
    calls.answers["get"] = shard_of(9, row("n/e", {"v": 9}, 9))
    assert (await view.get("n/e")).properties == {"v": 9}


async def test_an_answer_that_was_under_way_when_changes_were_lost_is_not_kept(view, calls):
    answer = asyncio.get_running_loop().create_future()
    calls.answers["get"] = lambda _: answer
    reader = asyncio.create_task(view.get("n/e"))
    await settle()
    view.forget(0)
    answer.set_result(readings(5, row("n/e", {"v": 5}, 5)))
    with suppress(Unavailable):
        await reader
    calls.answers["get"] = shard_of(9, row("n/e", {"v": 9}, 9))
    assert (await view.get("n/e")).properties == {"v": 9}


async def test_the_oldest_copies_go_when_there_are_too_many(calls):
    view = LiveView(Partitioning(1), calls, lambda _: 0, entities_max=20)
    for number in range(21):
        await view.get(f"n/{number}")
    assert len(view) == 19
    assert [view.kept(f"n/{number}") is None for number in range(3)] == [True, True, False]


async def test_the_first_change_behind_an_answer_is_taken(view, calls):
    calls.answers["get"] = shard_of(5, row("n/e", {"v": 1}, 5))
    entity = await view.get("n/e")
    assert entity.as_of == pack(6, 0) - 1
    view.on_changes([change("n/e", {"v": 6}, 6)])
    assert entity.properties == {"v": 6}


async def test_hits_and_misses_are_counted_once_for_each_entity_that_was_asked_for(view, calls):
    calls.answers["get"] = lambda wanted: readings(1, row("n/a", {"v": 1}), row("n/b", {"v": 1}))
    assert view.look_up("n/a") is None
    await view.get_many(["n/a", "n/b"])
    await view.get("n/a")
    assert view.look_up("n/a") is not None
    assert view.kept("n/b") is not None  # a look of the hot way, which counts by itself
    assert (view.hits, view.misses) == (2, 2)
