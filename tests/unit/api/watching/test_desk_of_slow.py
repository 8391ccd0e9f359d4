"""The desk: those that are too slow."""

from __future__ import annotations

import asyncio

import pytest

from flux_api.watching.options import Options
from tests.unit.api.standing import row, settle, until
from tests.unit.api.watching.watchers import DELTA, brief, dispatch, slow


@pytest.mark.usefixtures("_small")
async def test_a_slow_one_is_told_the_newest_in_its_own_format(hub):
    link = slow(hub, "a/*", Options(delta=True, fields=("v",)))
    dispatch(hub, *(("a/1", {"v": n, "w": n}, n) for n in range(6, 40)))
    dispatch(hub, ("a/2", {"w": 1}, 41), ("a/3", {"v": 1}, 42), ("a/3", None, 43))
    link.read_on()
    await settle()
    rest = link.take()
    assert brief(rest) == [
        ("conflated", 2),
        ("delta", "a/1", {"v": 39}),
        ("entity_deleted", "a/3"),
    ]
    assert (rest[1]["position"], rest[1]["conflated"]) == ("0.39.0", True)
    dispatch(hub, ("a/1", {"v": 50}, 50))
    assert "conflated" not in link.take()[0]


@pytest.mark.usefixtures("_small")
async def test_a_slow_one_with_a_condition_is_told_what_holds_now(hub):
    link = slow(hub, "a/*", Options(delta=True, where="v > 1"))
    await until(lambda: hub.is_settled(link.watcher))
    dispatch(hub, *(("a/2", {"v": n}, n) for n in range(6, 40)))
    dispatch(hub, ("a/1", {"v": 2, "w": 1}, 41), ("a/2", {"v": 0}, 42))
    link.read_on()
    await settle()
    assert brief(link.take()) == [("conflated", 2), ("delta", "a/1", {"v": 2, "w": 1}), ("left", "a/2")]


@pytest.mark.usefixtures("_small")
async def test_what_only_others_are_owed_is_not_told_to_a_slow_one_with_a_condition(hub):
    slow(hub, "*", DELTA)
    link = slow(hub, "a/*", Options(delta=True, where="v > 1"))
    await until(lambda: hub.is_settled(link.watcher))
    dispatch(hub, *(("a/2", {"v": n}, n) for n in range(6, 40)))
    dispatch(hub, *((f"a/{n}", {"v": 0}, n) for n in range(50, 60)), ("a/50", None, 70))
    link.read_on()
    await settle()
    assert brief(link.take()) == [("conflated", 1), ("delta", "a/2", {"v": 39})]
    link.reads = False
    dispatch(hub, *(("a/1", {"v": n}, n) for n in range(80, 120)), ("a/2", {"v": 0}, 121))
    link.read_on()
    await settle()
    assert brief(link.take()) == [("conflated", 2), ("delta", "a/1", {"v": 119}), ("left", "a/2")]
    link.reads = False
    dispatch(hub, *(("a/1", {"v": n}, n) for n in range(130, 170)), ("a/2", {"w": 0}, 171))
    link.read_on()
    await settle()
    assert brief(link.take()) == [("conflated", 1), ("delta", "a/1", {"v": 169})]


@pytest.mark.usefixtures("_small")
async def test_who_asks_for_states_while_it_is_owed_something_gets_the_states_alone(hub, ground):
    link = slow(hub, "a/*", DELTA)
    dispatch(hub, *(("a/1", {"v": n}, n) for n in range(6, 40)))
    ground.rows, ground.sequence = [row("a/1", {"v": 39}, 39)], 39
    ground.place_now = 39
    hub.subscribe(link.watcher, "a/*", Options(delta=True, initial=True))
    link.read_on()
    await until(lambda: hub.is_settled(link.watcher))
    assert brief(link.take()) == [("state", "a/1", {"v": 39})]


@pytest.mark.usefixtures("_small")
async def test_a_base_waits_for_one_who_does_not_read(hub, ground):
    ground.rows = [row(f"a/{n:03}", {"v": n}, 3) for n in range(50)]
    link = slow(hub, "a/*", Options(initial=True))
    await settle()
    assert link.waiting_bytes() < 1_000
    heard = []
    while not hub.is_settled(link.watcher):
        heard += link.read_on()
        await asyncio.sleep(0)
    heard += link.take()
    assert brief(heard) == [("state", f"a/{n:03}", {"v": n}) for n in range(50)]
