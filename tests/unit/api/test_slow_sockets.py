"""Sockets that do not read: bounded, conflated, told so, and nobody else waits for them."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flux_actors import limits
from flux_api.frames import Renderer
from flux_api.hub import Hub
from flux_api.watcher import Watcher
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import change, settle
from tests.unit.api.test_conflation import CHANGES, world_after, world_after_change


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 200)
    monkeypatch.setattr(limits, "socket_waiting_bytes_max", 400)
    monkeypatch.setattr(limits, "conflated_slice_bytes", 300)


@pytest.fixture
def hub():
    return Hub()


class PressedLink(FakeLink):
    """A transport that tells its session when it fills up, as a real one does."""

    def __init__(self, hub):
        super().__init__()
        self.hub = hub
        self.watcher = None

    def write(self, frames):
        super().write(frames)
        if self.waiting_bytes() > 100:
            self.hub.press(self.watcher)

    def read_on(self):
        """Take all that waits, and go on reading."""
        self.reads = True
        messages = self.take()
        self.hub.relieve(self.watcher)
        return messages


def joined(hub, *patterns):
    link = PressedLink(hub)
    link.watcher = Watcher(link)
    hub.join(link.watcher)
    for pattern in patterns:
        hub.subscribe(link.watcher, pattern)
    return link


def dispatch(hub, *numbers, entity_id="n/e"):
    for number in numbers:
        hub.dispatch([change(entity_id, {"v": number})])


async def test_one_that_does_not_read_is_written_no_more_than_the_bound(hub):
    link = joined(hub)
    link.reads = False
    dispatch(hub, *range(100))
    assert link.waiting_bytes() <= 400 + 200
    assert (hub.slow, hub.conflations, hub.owed_entities, hub.fanned_out) == (1, 1, 1, 100)
    told = link.read_on()
    await settle()
    assert (hub.slow, hub.conflations, hub.owed_entities) == (0, 1, 0)
    rest = link.take()
    assert [message["value"] for message in told] == list(range(len(told)))
    assert [message["type"] for message in rest] == ["conflated", "state_update"]
    assert rest[-1]["value"] == 99


async def test_one_large_pull_is_written_no_further_than_the_bound_either(hub):
    link = joined(hub)
    link.reads = False
    hub.dispatch([change("n/e", {"v": number}) for number in range(100)])
    assert link.waiting_bytes() <= 400 + 200
    link.read_on()
    await settle()
    assert link.take()[-1]["value"] == 99


async def test_the_share_of_each_is_smaller_when_there_are_many(hub, monkeypatch):
    monkeypatch.setattr(limits, "socket_waiting_bytes_max", 100_000)
    monkeypatch.setattr(limits, "sockets_waiting_bytes_max", 10_000)
    links = [joined(hub) for _ in range(20)]
    for link in links:
        link.reads = False
    dispatch(hub, *range(200))
    assert sum(link.waiting_bytes() for link in links) <= 10_000 + 20 * 200


async def test_others_are_told_everything_meanwhile(hub):
    slow, quick = joined(hub), joined(hub)
    slow.reads = False
    dispatch(hub, *range(50))
    assert [message["value"] for message in quick.take()] == list(range(50))


async def test_after_it_caught_up_it_is_told_every_change_again(hub):
    link = joined(hub)
    link.reads = False
    dispatch(hub, *range(20))
    link.read_on()
    await settle()
    link.take()
    dispatch(hub, 20, 21)
    assert [message.get("value") for message in link.take()] == [20, 21]


async def test_a_change_that_only_slow_sockets_watch_is_not_rendered(hub, monkeypatch):
    link = joined(hub, "n/*")
    link.reads = False
    dispatch(hub, *range(20))
    rendered = []
    monkeypatch.setattr(Renderer, "frames_of", lambda *arguments: rendered.append(arguments))
    dispatch(hub, 20)
    assert rendered == []


async def test_what_no_slow_socket_watches_is_not_kept(hub):
    slow, quick = joined(hub, "n/e"), joined(hub)
    slow.reads = False
    dispatch(hub, *range(20))
    dispatch(hub, 1, 2, entity_id="m/other")
    assert hub.owed_entities == 1
    assert quick.take()


async def test_metrics_pass_by_one_that_is_behind_and_one_that_does_not_take_them(hub):
    slow, quick, deaf = joined(hub), joined(hub), joined(hub, "none")
    slow.reads = deaf.reads = False
    dispatch(hub, *range(20))
    quick.take()
    for _ in range(100):
        hub.announce('{"type":"metrics_update"}')
    assert len(quick.take()) == 100
    assert "metrics_update" not in [message["type"] for message in slow.take()]
    assert 0 < deaf.waiting_bytes() <= 400 + 200


async def test_one_slice_goes_out_between_two_turns_of_the_loop(hub):
    links = [joined(hub) for _ in range(5)]
    for link in links:
        link.reads = False
    dispatch(hub, *range(20))
    for number in range(40):
        dispatch(hub, 1, entity_id=f"n/{number}")
    for link in links:
        link.read_on()
    writes = []
    for _ in range(100):
        await asyncio.sleep(0)
        writes.append(sum(len(link.written) for link in links))
    assert max(after - before for before, after in pairwise(writes)) == 1
    assert [len(world_after(link.take(), {})) for link in links] == [41] * 5


async def test_one_that_leaves_while_it_is_behind_leaves_nothing(hub):
    link, other = joined(hub), joined(hub)
    link.reads = False
    dispatch(hub, *range(20))
    for number in range(10):
        dispatch(hub, 1, entity_id=f"n/{number}")
    link.read_on()
    hub.leave(link.watcher)
    await settle()
    assert link.take() == []
    assert hub.owed_entities == 0
    dispatch(hub, 99)
    assert other.take()[-1]["value"] == 99


async def test_one_that_is_behind_and_unsubscribes_is_owed_nothing_more(hub):
    link = joined(hub, "n/*", "m/*")
    link.reads = False
    dispatch(hub, *range(20))
    dispatch(hub, 7, entity_id="m/e")
    hub.unsubscribe(link.watcher, "n/*")
    link.read_on()
    await settle()
    assert [m["entity_id"] for m in link.take() if m["type"] == "state_update"] == ["m/e"]
    dispatch(hub, 8, entity_id="m/e")
    dispatch(hub, 8, entity_id="n/e")
    assert [message["entity_id"] for message in link.take()] == ["m/e"]


STEPS = st.lists(CHANGES | st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=60)
INTERESTS: list[tuple[str, ...]] = [(), ("n/*",), ("n/a", "n/b"), ("n/c",)]


@given(STEPS)
@settings(max_examples=150, deadline=None, derandomize=True)
async def test_whoever_reads_whenever_each_ends_with_the_state_it_watches(steps):
    """A step is a change, or one of four sockets stops or goes on reading."""
    hub = Hub()
    links = [joined(hub, *patterns) for patterns in INTERESTS]
    truth, believed = {}, [{} for _ in links]
    for position, step in enumerate(steps):
        if isinstance(step[0], str):
            item = change(*step)
            world_after_change(truth, item)
            hub.dispatch([item] * (1 + position % 3))
            continue
        number, reads = step
        links[number].reads = reads
        if reads:
            world_after(links[number].read_on(), believed[number])
        await asyncio.sleep(0)
    for link, world in zip(links, believed, strict=True):
        for _ in range(3):
            world_after(link.read_on(), world)
            await settle()
        world_after(link.take(), world)
        assert world == {name: state for name, state in truth.items() if link.watcher.wants(name)}
        assert link.watcher.lag is None
    assert hub.owed_entities == 0
