"""Reading: who comes while requests are under way goes with the others, each gets what it asked for."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors import limits
from flux_actors.behaviour.calls import Rows
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.native.reading import Reading

RULE = Partitioning(2, frozenset({"wide"}))


class Asked:
    """Answers when a test lets it."""

    def __init__(self):
        self.asked = []
        self.gate = asyncio.Event()
        self.error = None

    async def read(self, partition, ids, after, deadline_s):
        self.asked.append((partition, ids, after))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        rows = [EntityRow(one, {"id": one}, 1, 1) for one in ids if "none" not in one]
        return Rows(9, rows)


@pytest.fixture
async def asked():
    return Asked()


@pytest.fixture
async def reading(asked):
    reading = Reading(RULE, asked)
    yield reading
    await reading.close()


async def begun(reading, *readers):
    """Begin to read for some readers, each its ids behind a position."""
    tasks = [asyncio.create_task(reading.rows(ids, lambda _, after=after: after)) for ids, after in readers]
    for _ in range(5):
        await asyncio.sleep(0)
    return tasks


async def test_who_comes_while_requests_are_under_way_goes_with_the_others(reading, asked):
    readers = [([f"home/{number}"], number) for number in range(6)]
    tasks = await begun(reading, *readers, (["home/none", "home/5"], 3))
    partition = RULE.of_entity("home/0")
    assert asked.asked == [(partition, ["home/0"], 0), (partition, ["home/1"], 1)]
    asked.gate.set()
    found = await asyncio.gather(*tasks)
    assert [list(rows) for rows in found] == [[f"home/{number}"] for number in range(6)] + [["home/5"]]
    together = [f"home/{number}" for number in range(2, 6)] + ["home/none"]
    assert asked.asked[2:] == [(partition, together, 5)]


async def test_no_request_is_larger_than_it_may_be(reading, asked, monkeypatch):
    monkeypatch.setattr(limits, "native_read_ids", 4)
    asked.gate.set()
    ids = [f"wide/{number}" for number in range(50)]
    (task,) = await begun(reading, (ids, 0))
    assert set(await task) == set(ids)
    assert max(len(wanted) for _, wanted, _ in asked.asked) == 4
    assert {partition for partition, _, _ in asked.asked} == {0, 1}


async def test_a_partition_that_does_not_answer_is_told_to_all(reading, asked):
    tasks = await begun(reading, (["home/1"], 0), (["home/2"], 0), (["home/3"], 0))
    asked.error = Unavailable("away")
    asked.gate.set()
    for task in tasks:
        with pytest.raises(Unavailable):
            await task
    asked.error = None
    (again,) = await begun(reading, (["home/1"], 0))
    assert list(await again) == ["home/1"]


async def test_who_gives_up_takes_nothing_from_others(reading, asked):
    first, second = await begun(reading, (["home/1"], 0), (["home/2"], 0))
    first.cancel()
    asked.gate.set()
    assert list(await second) == ["home/2"]


async def test_closing_ends_what_is_under_way(reading, asked):
    (task,) = await begun(reading, (["home/1"], 0))
    await reading.close()
    with pytest.raises(asyncio.CancelledError):
        await task
