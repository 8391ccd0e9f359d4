"""The desk: who decides, and what is lost."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.feed import patience
from flux_api.watcher import Watcher
from flux_api.watching.ground import Recall, end_of
from flux_api.watching.options import Options
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import change, row, settle, until
from tests.unit.api.watching.watchers import DELTA, brief, dispatch, settled, slow, told


async def test_the_newest_pattern_decides_and_each_change_is_told_once(hub, watcher):
    hub.subscribe(watcher, "*", DELTA)
    hub.subscribe(watcher, "a/*", Options(fields=("v",)))
    dispatch(hub, ("a/1", {"v": 1, "w": 1}, 6), ("b/1", {"v": 1}, 6), ("a/1", {"w": 1}, 7))
    assert told(watcher) == [("update", "a/1", {"v": 1}), ("delta", "b/1", {"v": 1})]
    hub.subscribe(watcher, "*", DELTA)
    dispatch(hub, ("a/1", {"w": 1}, 8))
    assert told(watcher) == [("delta", "a/1", {"w": 1})]
    hub.unsubscribe(watcher, "*")
    dispatch(hub, ("b/1", {"v": 1}, 9), ("a/1", {"v": 2, "w": 2}, 9))
    assert told(watcher) == [("update", "a/1", {"v": 2})]


async def test_what_was_watched_plainly_goes_on_beside_options(hub, watcher):
    hub.subscribe(watcher, "b/*")
    hub.subscribe(watcher, "a/*", DELTA)
    dispatch(hub, ("a/1", {"v": 1}, 6), ("b/1", {"v": 1}, 6), ("c/1", {"v": 1}, 6))
    assert told(watcher) == [("delta", "a/1", {"v": 1}), ("update", "b/1", {"v": 1})]
    hub.subscribe(watcher, "c/1")
    hub.unsubscribe(watcher, "a/*")
    hub.unsubscribe(watcher, "never/there")
    dispatch(hub, ("a/1", {"v": 1}, 7), ("c/1", {"v": 1}, 7))
    assert told(watcher) == [("update", "c/1", {"v": 1})]


async def test_one_that_leaves_is_told_nothing_and_nothing_of_it_is_kept(hub, watcher):
    hub.subscribe(watcher, "a/*", Options(initial=True, where="v > 0"))
    assert hub.watched
    hub.leave(watcher)
    dispatch(hub, ("a/1", {"v": 5}, 6))
    await settle()
    assert told(watcher) == []
    assert not hub.watched


async def test_too_many_patterns_are_refused_at_the_desk_too(hub, watcher, monkeypatch):
    monkeypatch.setattr(limits, "socket_patterns_max", 2)
    hub.subscribe(watcher, "a/*", DELTA)
    hub.subscribe(watcher, "b/*", DELTA)
    with pytest.raises(Refused, match="at most 2"):
        hub.subscribe(watcher, "c/*", DELTA)
    hub.subscribe(watcher, "b/*")
    dispatch(hub, ("b/1", {"v": 1}, 6), ("c/1", {"v": 1}, 6))
    assert told(watcher) == [("update", "b/1", {"v": 1})]


async def test_one_that_is_refused_its_first_options_is_told_once_as_before(hub, watcher, monkeypatch):
    monkeypatch.setattr(limits, "socket_patterns_max", 1)
    hub.subscribe(watcher, "a/*")
    with pytest.raises(Refused, match="at most 1"):
        hub.subscribe(watcher, "b/*", DELTA)
    dispatch(hub, ("a/1", {"v": 1}, 6), ("b/1", {"v": 1}, 6))
    assert told(watcher) == [("update", "a/1", {"v": 1})]


async def test_what_goes_out_together_is_one_array(hub, watcher):
    hub.subscribe(watcher, "a/*", Options(delta=True, batch=True))
    dispatch(hub, ("a/1", {"v": 1}, 6), ("a/2", {"v": 2}, 6), ("b/1", {"v": 2}, 6))
    (array,) = watcher.link.take()
    assert brief(array) == [("delta", "a/1", {"v": 1}), ("delta", "a/2", {"v": 2})]


async def test_equal_lenses_share_what_was_rendered(hub, monkeypatch):
    rendered = []
    watchers = [Watcher(FakeLink()) for _ in range(3)]
    for watcher in watchers:
        hub.join(watcher)
        hub.subscribe(watcher, "a/*", DELTA)
    original = type(hub._desk._views).change  # noqa: SLF001
    monkeypatch.setattr(
        type(hub._desk._views),  # noqa: SLF001
        "change",
        lambda *arguments: rendered.append(1) or original(*arguments),
    )
    dispatch(hub, ("a/1", {"v": 1}, 6))
    assert [told(watcher) for watcher in watchers] == [[("delta", "a/1", {"v": 1})]] * 3
    assert rendered == [1]


async def test_unsubscribing_ends_a_base_that_is_on_its_way(hub, watcher, ground, monkeypatch):
    monkeypatch.setattr(patience, "_RETRY_S", (0.0, 0.0))
    ground.closed = True
    hub.subscribe(watcher, "a/*", Options(initial=True))
    await settle()
    hub.unsubscribe(watcher, "a/*")
    ground.closed = False
    dispatch(hub, ("a/1", {"v": 5}, 6))
    await settle()
    assert told(watcher) == []


async def test_an_older_pattern_says_that_it_missed_what_a_pending_one_held(hub, watcher, ground):
    hub.subscribe(watcher, "*", DELTA)
    hub.subscribe(watcher, "b/*", DELTA)
    ground.closed = True
    hub.subscribe(watcher, "a/*", Options(initial=True))
    dispatch(hub, ("a/1", {"v": 5}, 6), ("b/1", {"v": 5}, 6))
    hub.unsubscribe(watcher, "a/*")
    assert await settled(hub, watcher) == [("delta", "b/1", {"v": 5}), ("resync", "*")]
    dispatch(hub, ("a/1", {"v": 6}, 7))
    assert told(watcher) == [("delta", "a/1", {"v": 6})]


async def test_to_ask_again_while_a_base_is_on_its_way_is_told_to_older_patterns_too(hub, watcher, ground):
    hub.subscribe(watcher, "*", DELTA)
    ground.closed = True
    hub.subscribe(watcher, "a/*", Options(initial=True))
    dispatch(hub, ("a/1", {"v": 5}, 6))
    hub.subscribe(watcher, "a/*", DELTA)
    assert await settled(hub, watcher) == [("resync", "*")]


async def test_too_much_to_hold_begins_anew(hub, watcher, ground, monkeypatch):
    monkeypatch.setattr(limits, "held_changes_max", 3)
    ground.closed = True
    hub.subscribe(watcher, "a/*", Options(initial=True, delta=True))
    dispatch(hub, *(("a/1", {"v": sequence}, sequence) for sequence in range(6, 12)))
    ground.closed = False
    ground.rows, ground.sequence = [row("a/1", {"v": 11}, 11)], 11
    ground.place_now = 11
    assert await settled(hub, watcher) == [("resync", "a/*"), ("state", "a/1", {"v": 11})]


async def test_after_a_loss_those_with_states_get_all_of_them_and_others_what_changed(hub, ground):
    watchers = [Watcher(FakeLink()) for _ in range(4)]
    options = [Options(initial=True), DELTA, Options(where="v > 1"), Options()]
    for watcher, option in zip(watchers, options, strict=True):
        hub.join(watcher)
        hub.subscribe(watcher, "b/*", DELTA)  # so that the plain one sits at the desk as well
        hub.subscribe(watcher, "a/*", option)
    for watcher in watchers:
        await settled(hub, watcher)
    ground.rows = [row("a/1", {"v": 9}, 8), row("a/2", {"v": 2}, 4)]
    ground.place_now = ground.sequence = 9
    hub.lost(0, [row("a/1", {"v": 9}, 8), row("a/3", None, 9)])
    states = [("state", "a/1", {"v": 9}), ("state", "a/2", {"v": 2})]
    other = ("resync", "b/*")
    first, second, third, fourth = [set(map(str, await settled(hub, watcher))) for watcher in watchers]
    assert first == set(map(str, [other, ("resync", "a/*"), *states]))
    assert second == set(map(str, [other, ("resync", "a/*"), states[0], ("entity_deleted", "a/3")]))
    assert third == first
    assert fourth == set(map(str, [other, ("update", "a/1", {"v": 9}), ("entity_deleted", "a/3")]))


async def test_what_the_log_knows_of_a_loss_is_told_as_if_nothing_had_been_lost(hub, watcher, ground):
    hub.subscribe(watcher, "*", Options(initial=True))
    hub.subscribe(watcher, "a/*", DELTA)
    await settled(hub, watcher)
    lost = [change("a/1", {"v": 6}, 6), change("b/1", {"v": 6}, 6), change("a/1", {"v": 7}, 7)]
    ground.recalled = Recall(end_of(8), lost)
    hub.lost(0, [row("a/1", {"v": 7}, 7), row("b/1", {"v": 6}, 6)])
    hub.subscribe(watcher, "b/1", DELTA)  # has missed nothing, and tells nothing of it
    ground.place_now = 8
    dispatch(hub, ("a/1", {"v": 9}, 9), ("c/1", {"v": 9}, 9))
    heard = await settled(hub, watcher)
    own = [("delta", "a/1", {"v": 6}), ("delta", "a/1", {"v": 7}), ("delta", "a/1", {"v": 9})]
    assert [one for one in heard if one[1] == "a/1"] == own
    assert [one for one in heard if one[1] != "a/1"] == [
        ("update", "b/1", {"v": 6}),
        ("update", "c/1", {"v": 9}),
    ]


@pytest.mark.usefixtures("_small")
async def test_one_that_is_owed_something_at_a_loss_begins_anew(hub, ground):
    link = slow(hub, "a/*", DELTA)
    dispatch(hub, *(("a/1", {"v": n}, n) for n in range(6, 40)))
    ground.recalled = Recall(end_of(50), [])
    hub.lost(0, [row("a/1", {"v": 50}, 50)])
    ground.place_now = 50
    heard = []
    while not hub.is_settled(link.watcher):
        heard += link.read_on()
        await asyncio.sleep(0)
    heard += link.take()
    assert brief(heard)[-2:] == [("resync", "a/*"), ("state", "a/1", {"v": 50})]


async def test_a_loss_before_anything_was_told_is_not_felt(hub, watcher, ground):
    ground.closed = True
    hub.subscribe(watcher, "a/*", Options(initial=True))
    await settle()
    hub.lost(0, [row("a/1", {"v": 1}, 3)])
    ground.closed = False
    assert await settled(hub, watcher) == [("state", "a/1", {"v": 1}), ("state", "a/2", {"v": 2})]


async def test_a_loss_while_it_resumes_is_not_told_twice(hub, watcher, ground, monkeypatch):
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 1)
    ground.recalled = Recall(end_of(5), [change("a/1", {"v": 1}, 3)])
    hub.subscribe(watcher, "a/*", Options(places={0: 0}, delta=True, initial=True))
    dispatch(hub, ("a/1", {"v": 6}, 6), ("a/1", {"v": 7}, 7))
    heard = []
    while not heard:
        await asyncio.sleep(0)
        heard += told(watcher)
    ground.place_now = ground.sequence = 9
    hub.lost(0, [row("a/1", {"v": 9}, 9)])
    heard += await settled(hub, watcher)
    assert heard[0] == ("delta", "a/1", {"v": 1})
    assert heard.count(("delta", "a/1", {"v": 1})) == 1
    assert ("resync", "a/*") in heard


async def test_what_was_remembered_of_one_partition_counts_no_more_when_another_forgot(hub, watcher, ground):
    ground.partitions, ground.recalled = (0, 1), Recall(end_of(5), [])
    ground.closed = True
    hub.subscribe(watcher, "a/*", Options(places={0: 0, 1: 0}, initial=True))
    await settle()
    dispatch(hub, ("a/1", {"v": 6}, 6))
    ground.rows = [row("a/1", {"v": 6}, 6)]
    ground.place_now = ground.sequence = 6
    ground.closed = False
    assert await settled(hub, watcher) == [("resync", "a/*"), ("state", "a/1", {"v": 6})]


async def test_a_mirror_that_nobody_looks_into_makes_room_for_others(hub, watcher, monkeypatch):
    monkeypatch.setattr(limits, "mirror_entities_max", 2)
    for pattern in ("a/*", "*", "a/*"):
        hub.subscribe(watcher, pattern, Options(where="v > 0", initial=True))
        assert await settled(hub, watcher) == [("state", "a/1", {"v": 1}), ("state", "a/2", {"v": 2})]
        hub.unsubscribe(watcher, pattern)
        assert not hub._desk._room.mirrors  # noqa: SLF001 - nothing else shows it before the room is needed


async def test_a_condition_on_too_much_is_told_with_the_id(hub, watcher, monkeypatch):
    monkeypatch.setattr(limits, "mirror_entities_max", 1)
    hub.subscribe(watcher, "a/*", Options(where="v > 0"), request_id=7)
    await until(lambda: watcher.link.written)
    (error,) = watcher.link.take()
    assert (error["type"], error["id"], error["entity_id"]) == ("error", 7, "a/*")
    assert "watch fewer" in error["error"]
    dispatch(hub, ("a/1", {"v": 5}, 6))
    assert told(watcher) == []
    assert "a/*" not in watcher.patterns


async def test_a_fault_ends_a_subscription_and_says_so(hub, watcher, ground, lines):
    ground.fault = ValueError("broken")
    hub.subscribe(watcher, "a/*", Options(initial=True), request_id=7)
    await until(lambda: watcher.link.written)
    (error,) = watcher.link.take()
    assert (error["type"], error["id"]) == ("error", 7)
    assert [line["event"] for line in lines] == ["watch.base_failed"]
