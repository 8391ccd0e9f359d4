"""Watching one entity: its present state, then each state that follows, however slowly they are taken."""

from __future__ import annotations

import asyncio
import threading

import pytest

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.position import pack
from flux_actors.errors import Refused
from flux_actors.native.ticket import Ticket
from flux_actors.native.watch import State
from tests.unit.native.twin import RULE, holder, introduction


def test_it_begins_with_the_present_state_and_goes_on(fx):
    first = fx.publish("home/lamp", {"n": 1})
    with fx.entity("home/lamp").watch() as states:
        assert next(states) == State({"n": 1}, first.position)
        second = fx.publish("home/lamp", {"m": 2})
        assert next(states) == State({"n": 1, "m": 2}, second.position)
        fx.publish("home/lamps", {"n": 1})
        third = fx.delete("home/lamp")
        assert next(states) == State(None, third.position)
        fx.publish("home/lamp", {"n": 9})
        assert next(states).properties == {"n": 9}
    assert list(states) == []


def test_one_that_is_not_there_is_none_until_it_comes(fx):
    with fx.entity("home/lamp").watch() as states:
        assert next(states).properties is None
        fx.publish("home/lamp", {"n": 1})
        assert next(states).properties == {"n": 1}


async def test_coroutines_watch_too(aio):
    await aio.publish("home/lamp", {"n": 0})
    seen = []
    async with aio.entity("home/lamp").watch() as states:
        async for state in states:
            seen.append(state.properties["n"])
            if len(seen) == 4:
                break
            await aio.publish("home/lamp", {"n": len(seen)})
    assert seen == [0, 1, 2, 3]
    assert [state async for state in states] == []


async def test_one_that_was_never_begun_can_be_closed(aio):
    await aio.entity("home/lamp").watch().aclose()


def test_another_thread_can_end_it(fx):
    states = fx.entity("home/lamp").watch()
    next(states)
    ended = threading.Event()
    waiting = threading.Thread(target=lambda: (list(states), ended.set()))
    waiting.start()
    states.close()
    assert ended.wait(5)
    waiting.join()


def test_who_is_slow_misses_the_oldest_and_never_the_newest(fx, monkeypatch):
    monkeypatch.setattr(limits, "watch_states_max", 5)
    with fx.entity("home/lamp").watch() as states, fx.live("home/") as home:
        for number in range(50):
            fx.publish("home/lamp", {"n": number})
        home.wait(fx.position)
        assert [next(states).properties for _ in range(5)] == [{"n": number} for number in range(45, 50)]


def test_a_loss_is_told_as_the_state_that_is_left(fx, twin):
    fx.publish("home/lamp", {"n": 1})
    with fx.entity("home/lamp").watch() as states:
        next(states)
        (link,) = twin.links.values()
        rows = [EntityRow("home/lamp", {"n": 7}, pack(90, 0), 1), EntityRow("home/x", {}, pack(91, 0), 1)]
        twin.thread.run(_lost(link, rows))
        assert next(states).properties == {"n": 7}


async def _lost(link, rows):
    await asyncio.sleep(0)
    link.following.on_lost(RULE.of_entity("home/lamp"), rows)


def test_a_token_that_ends_ends_it(twin, monkeypatch):
    monkeypatch.setattr("flux_actors.native.copies._LOOK_S", 0.005)
    twin.introduction = introduction(holder("home"), 0.01)
    states = twin.flux(Ticket("token")).entity("home/lamp").watch()
    assert next(states).properties is None

    async def refuses():
        raise Refused("revoked", 401)

    monkeypatch.setattr(twin.links[Ticket("token")].standing, "_introduce", refuses)
    with pytest.raises(Refused, match="revoked"):
        next(states)
