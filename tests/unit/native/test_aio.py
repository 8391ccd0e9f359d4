"""Flux for coroutines: all that `Flux` does, awaited, from any event loop."""

from __future__ import annotations

import asyncio
import pickle

import pytest

from flux_actors.errors import Refused
from flux_actors.native import aio as aio_module
from flux_actors.native import core as core_module
from flux_actors.native.aio import connect_async
from flux_actors.native.ticket import Ticket


async def test_it_publishes_and_reads(aio):
    first = await aio.publish("home/lamp", {"n": 1}, event_id="mine", if_absent=True)
    assert first.event_id == "mine"
    with pytest.raises(Refused):
        await aio.publish("home/lamp", {"n": 2}, if_absent=True)
    await aio.publish("home/lamp", {"n": 3}, if_match=first.position)
    await aio.publish_many(((f"home/{n}", {"n": n}) for n in range(3)), event_ids=["a", "b", "c"])
    assert await aio.entity("home/lamp").state() == {"n": 3}
    assert await aio.states(["home/0", "home/2", "home/9"]) == {
        "home/0": {"n": 0},
        "home/2": {"n": 2},
        "home/9": None,
    }
    await aio.delete("home/lamp")
    assert await aio.entity("home/lamp").state() is None


async def test_many_at_once_each_reads_its_own(aio):
    async def one(number):
        await aio.publish(f"home/{number}", {"n": number})
        return await aio.entity(f"home/{number}").state()

    assert await asyncio.gather(*map(one, range(100))) == [{"n": number} for number in range(100)]


def test_one_user_serves_loops_that_come_and_go(aio):
    for number in range(3):
        asyncio.run(aio.publish("home/lamp", {"n": number}))
    assert asyncio.run(aio.entity("home/lamp").state()) == {"n": 2}


async def test_who_gives_up_harms_nobody(aio):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(aio.entity("home/lamp").watch().__anext__(), 0)
    await aio.publish("home/lamp", {"n": 1})


async def test_it_travels_and_closes(twin, aio, monkeypatch):
    monkeypatch.setattr(core_module, "here", lambda: twin)
    await aio.publish("home/lamp", {"n": 1})
    sent = pickle.loads(pickle.dumps(aio))  # noqa: S301 - our own
    handle = pickle.loads(pickle.dumps(aio.entity("home/lamp")))  # noqa: S301 - our own
    async with aio:
        assert repr(aio) == "AsyncFlux(Ticket(namespace=None, source='flux-native'))"
    with pytest.raises(Refused, match="closed"):
        await aio.publish("home/lamp", {"n": 2})
    assert await sent.entity("home/lamp").state() == await handle.state() == {"n": 1}
    sent.include("0.9.0")
    assert "0.9.0" in sent.position


async def test_connecting_begins_in_this_process(twin, monkeypatch):
    entered = []
    monkeypatch.setattr(twin, "enter", lambda: entered.append("cluster"), raising=False)
    monkeypatch.setattr(aio_module, "here", lambda: twin)
    fx = await connect_async(namespace="home", source="me")
    assert entered == ["cluster"]
    assert list(twin.links) == [Ticket(None, "home", "me")]
    await fx.publish("home/lamp", {"n": 1})
