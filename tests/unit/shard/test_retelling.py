"""Rows page by page, true at one sequence each, and what the ring remembers of a pattern."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_actors.domain.position import pack
from flux_actors.errors import Unavailable
from flux_actors.shard.partition import Phase
from flux_actors.shard.reads import decode_recalled, decode_rows
from flux_actors.shard.retelling import recalled, rows_behind
from tests.unit.shard.hosting import event

GONE = {"__deleted__": True}


@pytest.fixture
async def host(hosting):
    """A running partition with an entity for each letter, of which `n/c` is dead."""
    host = await hosting.recovered()
    host.phase = Phase.RUNNING
    reader = hosting.log.reader(0, 0)
    for letter in "abcd":
        await hosting.write(event(f"n/{letter}", {"v": letter}), event(f"m/{letter}", {"v": 0}))
    await hosting.write(event("n/c", GONE), event("n/a", {"w": 1}), event("n/a", {"w": 2}))
    while host.state.sequence < 5:
        for block in await reader.pull(0.01):
            host.apply([block], feed=True)
    await host.relieve()
    return host


def pages(host, prefix):
    found, after = [], None
    while True:
        found.append(decode_rows(rows_behind(host, prefix, after)))
        after = found[-1].after
        if after is None:
            return found


@pytest.mark.parametrize(("limit", "most"), [("run_ids_max", 1_000), ("run_ids_max", 1), ("base_bytes", 1)])
def test_rows_are_the_living_of_a_prefix_once_in_order(host, monkeypatch, limit, most):
    monkeypatch.setattr(limits, limit, most)
    found = pages(host, "n/")
    assert {page.sequence for page in found} == {5}
    rows = [row for page in found for row in page.rows]
    assert [(row.entity_id, row.properties) for row in rows] == [
        ("n/a", {"v": "a", "w": 2}),
        ("n/b", {"v": "b"}),
        ("n/d", {"v": "d"}),
    ]
    assert [row.position for row in rows] == [pack(5, 2), pack(2, 0), pack(4, 0)]
    assert (len(found) > 2) == (most == 1)


def test_all_begin_with_nothing(host):
    assert len([row for page in pages(host, "") for row in page.rows]) == 7
    assert pages(host, "x")[0].rows == []


async def recall(host, pattern, after, changes_max=100):
    return decode_recalled(await recalled(host, pattern, after, changes_max))


async def test_what_happened_behind_a_position_is_told_in_order(host):
    found = await recall(host, "n/*", pack(4, 0))
    assert found.sequence == 5
    told = [(change.position, change.entity_id, change.properties) for change in found.changes]
    assert told == [
        (pack(5, 0), "n/c", None),
        (pack(5, 1), "n/a", {"w": 1}),
        (pack(5, 2), "n/a", {"w": 2}),
    ]
    assert [change.position for change in (await recall(host, "n/a", pack(5, 1))).changes] == [pack(5, 2)]
    assert (await recall(host, "*", pack(5, 2))).changes == []
    assert len((await recall(host, "*", pack(1, 1))).changes) == 9


async def test_no_more_is_told_than_asked_for(host):
    assert 2 < len((await recall(host, "*", pack(1, 0), 2)).changes) < 9


async def test_what_the_ring_has_no_longer_is_not_known(host):
    host.ring = type(host.ring)()
    assert (await recall(host, "*", pack(4, 0))).changes is None
    assert (await recall(host, "*", pack(5, 4_095))).changes == []


async def test_one_that_recovers_is_not_asked(hosting):
    host = hosting.host()
    with pytest.raises(Unavailable):
        rows_behind(host, "", None)
    with pytest.raises(Unavailable):
        await recalled(host, "*", 0, 1)
