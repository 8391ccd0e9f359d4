"""Leases end through the log: in time, once, whoever asked for it, and however often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.domain.event import TermedEvent, with_terms
from flux_actors.domain.terms import Terms
from flux_actors.log.ports import StoredBlock
from flux_actors.shard import expiring, running
from flux_actors.shard.expiring import Expirer
from flux_actors.shard.running import run
from flux_actors.shard.snapshotting import Snapshotter
from flux_actors.surroundings import HERE
from tests.busy import busy
from tests.unit.shard.hosting import event, properties_of, until

SECOND_US = 1_000_000


def leased(entity_id: str, properties: dict[str, Any], **terms: Any) -> TermedEvent:
    return with_terms(event(entity_id, properties), Terms(**terms))


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(limits, "heartbeat_s", 0.01)
    monkeypatch.setattr(running, "_AWAY_S", 0.001)
    monkeypatch.setattr(expiring, "_AWAY_S", 0.001)


@pytest.fixture
async def living(hosting):
    """Start a host in its loop, as often as a test wants; all are drained after it."""
    hosts = []

    async def live():
        host = await hosting.recovered()
        hosts.append((host, asyncio.create_task(run(host, Snapshotter(host, 1_000.0)))))
        return host

    yield live
    for host, life in hosts:
        host.draining = True
        await life


def changes(hosting):
    return [(c.entity_id, c.properties) for message in hosting.heard for c in message.changes]


async def test_an_entity_ends_at_its_time_although_nothing_else_is_written(hosting, living):
    host = await living()
    began_us = HERE.now_us()
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=300), event("n/stays", {"v": 1}), clock_us=began_us)
    await until(lambda: properties_of(host).keys() == {"n/e", "n/stays"})
    await until(lambda: properties_of(host).keys() == {"n/stays"})
    assert 300_000 <= HERE.now_us() - began_us < 300_000 + 2 * SECOND_US * busy()
    await until(lambda: changes(hosting)[-1] == ("n/e", None))


async def test_a_property_ends_as_null(hosting, living):
    host = await living()
    first = leased("n/e", {"v": 1, "w": 1}, property_ttl_ms={"v": 30})
    await hosting.write(first, clock_us=HERE.now_us())
    await until(lambda: properties_of(host) == {"n/e": {"v": None, "w": 1}})
    await until(lambda: changes(hosting)[-1] == ("n/e", {"v": None}))


async def test_a_lease_that_is_renewed_again_and_again_lives_on(hosting, living):
    host = await living()
    await hosting.write(leased("n/e", {"v": 0}, ttl_ms=500), clock_us=HERE.now_us())
    for _ in range(8):
        await asyncio.sleep(0.1)
        await hosting.write(leased("n/e", {}, ttl_ms=500), clock_us=HERE.now_us())
    await until(lambda: host.state.sequence >= 9)
    assert "n/e" in properties_of(host)
    await until(lambda: properties_of(host) == {})


async def test_what_ran_out_while_nobody_lived_ends_after_the_start(hosting, living):
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=1), clock_us=HERE.now_us() - SECOND_US)
    await hosting.snapshot()
    host = await living()
    await until(lambda: properties_of(host) == {} and host.state.sequence == 2)


async def test_a_shard_that_was_replaced_and_does_not_know_it_ends_nothing_twice(hosting, living):
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=50), clock_us=HERE.now_us())
    hosting.memory = None  # two of them would share one cold store
    first, second = await living(), await living()
    await until(lambda: properties_of(first) == {} and properties_of(second) == {})
    await hosting.write(event("n/e", {"v": 2}), clock_us=HERE.now_us())
    await until(lambda: properties_of(first) == properties_of(second) == {"n/e": {"v": 2}})
    assert first.state.events_total == second.state.events_total == 3


async def test_while_the_log_is_away_it_is_tried_again(hosting, living, lines):
    host = await living()
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=300), clock_us=HERE.now_us())
    await until(lambda: "n/e" in properties_of(host))
    hosting.log.away = True
    await asyncio.sleep(0.35)
    hosting.log.away = False
    await until(lambda: properties_of(host) == {})


async def test_the_log_that_takes_nothing_is_asked_again_in_a_moment(hosting, lines, monkeypatch):
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=1), clock_us=HERE.now_us() - SECOND_US)
    host = await hosting.recovered()
    monkeypatch.setattr(limits, "append_timeout_s", 0.0)
    monkeypatch.setattr(limits, "append_deadline_s", 0.0)
    hosting.log.away = True
    expirer = Expirer(hosting.log, 0)
    expirer.step(host.state)
    assert host.state.timers.next_us is None
    await until(lambda: host.state.timers.next_us is not None)
    assert [line["event"] for line in lines if line["event"] == "leases.waiting"] == ["leases.waiting"]
    await expirer.close()


async def test_many_that_are_due_at_once_end_at_once(hosting, living):
    host = await living()
    began_us = HERE.now_us()
    events = [leased(f"n/{number}", {"v": 1}, ttl_ms=1_500) for number in range(3_000)]
    for first in range(0, 3_000, 1_000):
        await hosting.write(*events[first : first + 1_000], clock_us=began_us)
    await until(lambda: host.state.sequence >= 3)
    await until(lambda: host.state.alive == 0)
    assert 1_500_000 <= HERE.now_us() - began_us < 1_500_000 + 2 * SECOND_US * busy()


async def test_it_waits_no_longer_than_for_what_is_due_next(hosting):
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=5), clock_us=HERE.now_us())
    host = await hosting.recovered()
    expirer = Expirer(hosting.log, 0)
    assert 0 <= expirer.wait_s(host.state) <= 0.005
    host.state.timers.due(1 << 62, 9)
    assert expirer.wait_s(host.state) == limits.heartbeat_s
    await expirer.close()


async def test_names_as_long_as_events_end_in_as_many_blocks_as_they_need(hosting, living):
    host = await living()
    names = [f"{number}".ljust(limits.nats_payload_bytes_max // 8, "x") for number in range(9)]
    began_us = HERE.now_us()
    for name in names:
        await hosting.write(leased("n/e", {name: 1}, property_ttl_ms={name: 4_000}), clock_us=began_us)
    await until(lambda: properties_of(host) == {"n/e": dict.fromkeys(names, 1)})
    await until(lambda: properties_of(host) == {"n/e": dict.fromkeys(names)})


async def test_a_lease_ends_in_time_although_the_clock_of_the_log_is_ahead(hosting, living):
    host = await living()
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=300), clock_us=HERE.now_us() + 3_600 * SECOND_US)
    began_us = HERE.now_us()
    await until(lambda: properties_of(host).keys() == {"n/e"})
    await until(lambda: properties_of(host) == {})
    assert 250_000 <= HERE.now_us() - began_us < 300_000 + 2 * SECOND_US * busy()


async def test_a_lease_that_a_door_with_a_slow_clock_took_lasts_as_long_as_it_should(hosting, living):
    host = await living()
    began_us = HERE.now_us()
    slow_us = began_us - 3_600 * SECOND_US
    await hosting.write(
        leased("n/e", {"v": 1}, ttl_ms=200), leased("n/r", {"v": 1}, remind={"r": 200}), clock_us=slow_us
    )
    await until(lambda: properties_of(host).keys() == {"n/e", "n/r"})
    await until(lambda: properties_of(host).keys() == {"n/r"})
    assert 200_000 <= HERE.now_us() - began_us < 200_000 + 2 * SECOND_US * busy()


@pytest.mark.parametrize(("stored_after_us", "ends"), [(1_000, ["n/e"]), (3 * SECOND_US, [])])
async def test_a_shard_that_comes_to_a_block_late_ends_at_once_what_the_door_did_not_take_late(
    hosting, stored_after_us, ends
):
    """The block is five seconds old: that the log took it three seconds late alone is the door's clock."""
    taken_us = HERE.now_us() - 5 * SECOND_US
    host = await hosting.recovered()
    expirer = Expirer(hosting.log, 0)
    expirer.begin(host.state)
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=4_900), clock_us=taken_us)
    host.apply([StoredBlock(1, await hosting.log.block(0, 1), 0)], feed=False)
    expirer.step(host.state, taken_us + stored_after_us)
    await expirer.close()
    assert (await hosting.log.bounds(0)).last == 1 + len(ends)


async def test_an_end_does_not_put_the_clock_of_the_log_past_what_was_given_longer(hosting, living):
    host = await living()
    slow_us = HERE.now_us() - 3_600 * SECOND_US
    await hosting.write(leased("n/short", {"v": 1}, ttl_ms=60), clock_us=slow_us)
    await hosting.write(leased("n/long", {"v": 1}, ttl_ms=4_000), clock_us=slow_us)
    await until(lambda: properties_of(host).keys() == {"n/long"})
    assert host.state.clock_us < slow_us + 4_000_000  # else a claim would be free by now
    await until(lambda: properties_of(host) == {})


async def test_a_held_lease_that_is_renewed_lives_on(hosting, living):
    host = await living()
    slow_us = HERE.now_us() - 3_600 * SECOND_US
    for number in range(8):
        await hosting.write(leased("n/e", {"v": number}, ttl_ms=500), clock_us=slow_us + number)
        await until(lambda number=number: properties_of(host) == {"n/e": {"v": number}})
        await asyncio.sleep(0.1)
    await until(lambda: properties_of(host) == {})


async def test_a_door_with_a_fast_clock_ends_what_is_due_by_it(hosting, living):
    host = await living()
    slow_us = HERE.now_us() - 3_600 * SECOND_US
    await hosting.write(leased("n/e", {"v": 1}, ttl_ms=300), clock_us=slow_us)
    await until(lambda: properties_of(host).keys() == {"n/e"})
    await hosting.write(event("n/other", {"v": 1}), clock_us=HERE.now_us())
    await until(lambda: properties_of(host).keys() == {"n/other"})
