"""The outbox: every frame in order while the reader keeps up, then the newest values, openly."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flux_api.frames import frames_of
from flux_api.outbox import Outbox
from tests.unit.api.standing import change, settle


def put(outbox, *changes):
    for item in changes:
        outbox.put_change(item, frames_of(item))


async def taken(outbox):
    return [json.loads(frame) for frame in await outbox.take()]


def world_after(frames, world=None):
    """Return what a client believes that keeps every `state_update` and `entity_deleted`."""
    world = {} if world is None else world
    for frame in frames:
        match frame["type"]:
            case "state_update":
                world.setdefault(frame["entity_id"], {})[frame["property"]] = frame["value"]
            case "entity_deleted":
                world.pop(frame["entity_id"], None)
    return world


async def test_a_reader_that_keeps_up_gets_every_frame_in_order():
    outbox = Outbox(10)
    put(outbox, change("n/a", {"v": 1}), change("n/b", {"v": 2}))
    outbox.put('{"type":"answer"}')
    put(outbox, change("n/a", {"v": 3}))
    assert [frame.get("value", frame["type"]) for frame in await taken(outbox)] == [1, 2, "answer", 3]


async def test_an_empty_one_is_waited_for():
    outbox = Outbox(10)
    reader = asyncio.create_task(taken(outbox))
    await settle()
    assert not reader.done()
    put(outbox, change("n/a", {"v": 1}))
    assert len(await reader) == 1
    reader = asyncio.create_task(taken(outbox))
    await settle()
    assert not reader.done()
    outbox.put("{}")
    assert await reader == [{}]


async def test_a_slow_reader_is_told_and_gets_the_newest_value_per_entity():
    outbox = Outbox(2)
    put(outbox, *(change(f"n/{number % 2}", {"v": number, f"k{number}": number}) for number in range(6)))
    frames = await taken(outbox)
    before, (told, *after) = frames[:2], frames[2:]
    assert [(frame["entity_id"], frame["value"]) for frame in before] == [("n/0", 0), ("n/0", 0)]
    assert told == {"type": "conflated", "entities": 2}
    assert world_after(after) == {
        "n/0": {"v": 4, "k2": 2, "k4": 4},
        "n/1": {"v": 5, "k1": 1, "k3": 3, "k5": 5},
    }
    assert sum(frame["property"] == "v" for frame in after) == 2


async def test_a_deletion_stands_for_all_before_it():
    outbox = Outbox(1)
    put(outbox, change("x/x", {"v": 0}), change("n/a", {"v": 1}), change("n/a", None))
    _, told, gone = await taken(outbox)
    assert told["entities"] == 1
    assert (gone["type"], gone["entity_id"]) == ("entity_deleted", "n/a")


async def test_an_entity_that_was_deleted_and_came_back_has_nothing_of_its_former_life():
    outbox = Outbox(1)
    world = {"n/a": {"old": 1}}
    put(outbox, change("x/x", {"v": 0}), change("n/a", None), change("n/a", {"new": 2}))
    assert world_after(await taken(outbox), world)["n/a"] == {"new": 2}


async def test_it_keeps_up_again_once_it_was_emptied():
    outbox = Outbox(1)
    put(outbox, *(change("n/a", {"v": number}) for number in range(3)))
    await outbox.take()
    put(outbox, change("n/a", {"v": 3}))
    assert [frame["type"] for frame in await taken(outbox)] == ["state_update"]


async def test_what_must_not_be_conflated_goes_in_however_full_it_is():
    outbox = Outbox(1)
    put(outbox, change("n/a", {"v": 1}), change("n/a", {"v": 2}))
    outbox.put('{"type":"answer"}')
    assert "answer" in [frame["type"] for frame in await taken(outbox)]


async def test_it_is_full_when_a_whole_queue_waits():
    outbox = Outbox(2)
    outbox.put("{}")
    assert not outbox.full
    outbox.put("{}")
    assert outbox.full
    await outbox.take()
    assert not outbox.full


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["n/a", "n/b"]),
        st.none() | st.dictionaries(st.sampled_from("xyz"), st.integers(0, 9), min_size=1),
    ),
    max_size=12,
)


@given(CHANGES, st.integers(1, 6), st.sets(st.integers(0, 12)))
async def test_however_slow_the_reader_it_ends_with_the_world_as_it_is(changes, frames_max, reads):
    outbox, believed = Outbox(frames_max), {}
    truth: dict[str, Any] = {}
    for number, (entity_id, properties) in enumerate(changes):
        if properties is None:
            truth.pop(entity_id, None)
        else:
            truth[entity_id] = truth.get(entity_id, {}) | properties
        put(outbox, change(entity_id, properties, number + 1))
        if number in reads:
            world_after(await taken(outbox), believed)
    outbox.put("{}".replace("}", '"type":"end"}'))
    world_after(await taken(outbox), believed)
    assert believed == truth
