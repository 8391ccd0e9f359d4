"""Several Ray clusters on one log: each has its own topology and its own bus."""

from __future__ import annotations

import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.bus import NatsBus
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.log.sites import at_site, forget_old_sites, subject_at


def test_subjects_of_sites_differ_and_those_of_the_one_flux_of_a_folder_are_plain():
    assert subject_at("", "flux.feed.2") == "flux.feed.2"
    assert subject_at("session_1", "flux.feed.2") == "flux.at.session_1.feed.2"
    assert len({subject_at(site, "flux.doors") for site in ("", "a", "b")}) == 3


class Nats:
    """Notes the subjects that it is asked for."""

    def __init__(self):
        self.subjects = []

    async def publish(self, subject, _):
        self.subjects.append(subject)

    async def request(self, subject, *_, **__):
        self.subjects.append(subject)
        raise TimeoutError

    async def subscribe(self, subject, **_):
        self.subjects.append(subject)

    async def flush(self):
        return


async def test_all_that_goes_over_the_bus_of_a_site_bears_its_name():
    nats = Nats()
    bus = NatsBus(nats, "here")
    await bus.publish("flux.a", b"")
    await bus.subscribe("flux.b", print)
    await bus.serve("flux.c", print)
    with pytest.raises(Unavailable):
        await bus.request("flux.d", b"", 1)
    assert nats.subjects == [f"flux.at.here.{name}" for name in "abcd"]


async def test_a_site_sees_its_own_keys_alone():
    store = MemoryKeyValue()
    here, there = at_site(store, "here"), at_site(store, "there")
    await store.put("topology", b"plain")
    await here.put("topology", b"mine", 0)
    await there.put("topology", b"theirs", 0)
    assert [(await one.get("topology")).value for one in (store, here, there)] == [
        b"plain",
        b"mine",
        b"theirs",
    ]
    assert await here.keys() == ["topology"]
    assert [(entry.key, entry.value) for entry in await here.changes(0)] == [("topology", b"mine")]
    await there.delete("topology")
    assert await there.get("topology") is None
    assert await here.get("topology") is not None


async def test_of_sites_that_are_gone_only_the_newest_are_kept_and_nothing_else_is_touched():
    store = MemoryKeyValue()
    await store.put("topology", b"plain")
    for number in range(12):
        await at_site(store, f"s{number}").put("topology", b"%d" % number)
    await at_site(store, "s1").put("topology", b"written again: it lives")
    await forget_old_sites(store, "s0")
    kept = {number for number in range(12) if await at_site(store, f"s{number}").get("topology") is not None}
    assert kept == {0, 1, 5, 6, 7, 8, 9, 10, 11}
    assert await store.get("topology") is not None


async def test_a_store_that_is_away_keeps_old_sites_for_another_time(monkeypatch):
    async def away(_):
        raise Unavailable("no leader")

    store = MemoryKeyValue()
    for number in range(9):
        await at_site(store, f"s{number}").put("topology", b"x")
    monkeypatch.setattr(store, "delete", away)
    await forget_old_sites(store, "")
    assert len(await store.keys()) == 9
