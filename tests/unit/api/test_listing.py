"""Lists: the pages of all partitions merged in id order, whatever their sizes."""

from __future__ import annotations

import asyncio
import gc
import json
from collections.abc import AsyncGenerator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.entity import render
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.shard import reads
from flux_actors.tenancy.principal import ANYONE
from flux_api.listing import Listing, stream_json
from flux_api.queries import ALL, Asked
from flux_api.tenancy import TenancyKeeper
from tests.unit.api.standing import FakeCalls, row, settle

IDS = st.lists(st.text("abw/", min_size=1, max_size=5), unique=True, max_size=20)


class Shards(FakeCalls):
    """Partitions with ids in them, read by pages of a given size."""

    def __init__(self, rule: Partitioning, ids: list[str], page: int) -> None:
        super().__init__({"page": self._page, "count": self._count, "matching": self._matching})
        self._rule = rule
        self._ids = ids
        self._size = page

    def _of(self, partition: int, prefix: str) -> list[str]:
        own = [i for i in self._ids if self._rule.of_entity(i) == partition and i.startswith(prefix)]
        return sorted(own)

    def _page(self, partition: int, order: reads.PageOrder) -> bytes:
        ids = [i for i in self._of(partition, order.prefix) if order.after is None or i > order.after]
        size = self._size if order.rows_max is None else min(self._size, order.rows_max)
        page = ids[:size]
        rows = [render(row(entity_id, {"id": entity_id})) for entity_id in page]
        after = page[-1] if len(ids) > size else None
        if order.joined:
            halves = [slice(0, len(page) // 2), slice(len(page) // 2, None)]
            runs = [(page[half][-1], b",".join(rows[half])) for half in halves if page[half]]
            return reads.encode(reads.Page([i for i, _ in runs], [run for _, run in runs], after))
        return reads.encode(reads.Page(page, rows, after))

    def _count(self, partition: int, prefix: str, veil: reads.Veil, where: str | None) -> int:
        return len(self._of(partition, prefix))

    def _matching(self, partition: int, prefix: str, limit: int) -> list[str]:
        return self._of(partition, prefix)[:limit]


def listing_of(ids, namespace=None, prefix="", page=2, partitions=3, asked=ALL) -> tuple[Listing, Shards]:
    rule = Partitioning(partitions, frozenset({"w"}))
    shards = Shards(rule, ids, page)
    door: Any = SimpleNamespace(shards=shards, partitioning=rule, tenancy=TenancyKeeper(None, None))
    return Listing(door, namespace, prefix, ANYONE, asked), shards


async def streamed(listing):
    text = b"".join([part async for part in stream_json(listing)])
    return [entity["id"] for entity in json.loads(text)]


async def begun(page: int) -> tuple[AsyncGenerator[bytes, None], Shards]:
    """A stream of eight entities of one partition whose first run was taken."""
    listing, shards = listing_of([f"a/{n}" for n in range(8)], page=page, partitions=1)
    stream = stream_json(listing)
    await anext(stream)
    return stream, shards


@given(
    IDS,
    st.none() | st.sampled_from(["a", "b", "w", "a/b"]),
    st.text("abw/", max_size=3),
    st.integers(1, 4),
    st.integers(1, 5),
)
async def test_it_is_every_match_once_in_order(ids, namespace, prefix, page, partitions):
    expected = sorted(
        entity_id
        for entity_id in ids
        if entity_id.startswith(prefix)
        and (namespace is None or (entity_id.partition("/")[0] == namespace and "/" in entity_id))
    )
    arguments = (ids, namespace, prefix, page, partitions)
    assert await streamed(listing_of(*arguments)[0]) == expected
    assert await listing_of(*arguments)[0].count() == len(expected)
    assert await listing_of(*arguments)[0].ids(100) == expected


async def test_an_empty_one_is_an_empty_array():
    assert b"".join([part async for part in stream_json(listing_of([])[0])]) == b"[]"


async def test_only_the_partition_of_a_namespace_is_asked():
    listing, shards = listing_of(["a/1"], namespace="a")
    await streamed(listing)
    assert {asked[1] for asked in shards.asked} == set(listing.partitions)
    assert len(listing.partitions) == 1


async def test_a_namespace_and_a_prefix_that_exclude_each_other_ask_nobody():
    listing, shards = listing_of(["a/1", "b/1"], namespace="a", prefix="b/")
    assert (await streamed(listing), await listing.count(), await listing.ids(9)) == ([], 0, [])
    assert shards.asked == []


async def test_a_fault_is_told_before_the_answer_begins():
    listing, shards = listing_of(["a/1"])
    shards.answers["page"] = Unavailable("recovering")
    with pytest.raises(Unavailable):
        await listing.begin()


async def test_the_first_page_is_small_and_the_others_are_not():
    listing, shards = listing_of(["a/1", "a/2", "a/3"], namespace="a", page=1)
    await streamed(listing)
    sizes = [asked[-1].bytes_max for asked in shards.asked]
    assert sizes == [limits.page_first_bytes, limits.page_bytes, limits.page_bytes]


async def test_pages_of_many_partitions_are_smaller_so_that_they_hold_no_more_together():
    listing, shards = listing_of(["a/1"], partitions=64)
    await streamed(listing)
    share = limits.page_bytes // 8
    assert {asked[-1].bytes_max for asked in shards.asked} == {max(limits.page_first_bytes, share)}


async def test_runs_come_joined_when_there_is_nothing_to_merge_them_with():
    for namespace, joined in (("a", True), (None, False)):
        listing, shards = listing_of(["a/1"], namespace=namespace)
        await streamed(listing)
        assert {asked[-1].joined for asked in shards.asked} == {joined}


@pytest.mark.parametrize("partitions", [1, 3])
async def test_a_client_that_does_not_read_makes_the_door_hold_two_pages(partitions):
    listing, shards = listing_of([f"a/{number}" for number in range(40)], partitions=partitions)
    stream = stream_json(listing)
    await anext(stream)
    await settle()
    assert len(shards.asked) == partitions  # nobody has taken the first run yet
    await anext(stream)
    await settle()
    assert len(shards.asked) <= 2 * partitions + 1
    before = len(shards.asked)
    await settle()
    assert len(shards.asked) == before
    await stream.aclose()


@pytest.mark.parametrize("namespace", ["a", None])
async def test_the_next_page_is_asked_for_once_the_client_takes_the_present_one(namespace):
    listing, shards = listing_of([f"a/{n}" for n in range(8)], namespace, page=4, partitions=1)
    stream = stream_json(listing)
    await anext(stream)
    await settle()
    assert len(shards.asked) == 1
    await anext(stream)
    await settle()
    assert len(shards.asked) == 2
    await stream.aclose()


async def test_a_client_that_goes_away_leaves_no_page_under_way():
    stream, shards = await begun(page=4)
    shards.answers["page"] = coming = asyncio.get_running_loop().create_future()
    await anext(stream)
    await settle()
    await stream.aclose()
    await settle()
    assert coming.cancelled()


async def test_a_client_that_goes_away_while_a_page_is_waited_for_leaves_none_either():
    stream, shards = await begun(page=1)
    shards.answers["page"] = coming = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(anext(stream))
    await settle()
    waiting.cancel()
    await settle()
    assert (waiting.cancelled(), coming.cancelled()) == (True, True)


async def test_a_page_that_fails_ahead_of_a_client_that_goes_away_is_not_complained_of(caplog):
    gc.collect()
    caplog.clear()  # of what others have left
    stream, shards = await begun(page=4)

    def fail(*_: object) -> bytes:
        raise Unavailable("gone")

    shards.answers["page"] = fail
    await anext(stream)
    await settle()
    await stream.aclose()
    del stream
    gc.collect()
    await settle()
    assert caplog.records == []


async def test_a_fault_in_the_middle_ends_the_stream_with_it():
    listing, shards = listing_of([f"a/{number}" for number in range(9)], page=1)
    stream = stream_json(listing)
    await anext(stream)
    shards.answers["page"] = Unavailable("gone")
    with pytest.raises(Unavailable):
        [part async for part in stream]


@given(IDS, st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(1, 400))
async def test_pages_of_a_client_one_after_the_other_are_the_whole_list(
    ids, limit, page, partitions, bytes_max
):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "list_page_bytes_max", bytes_max)
        found, after, pages = [], None, 0
        while True:
            asked = Asked(reads.EVERYTHING, limit, after)
            rows, after = await listing_of(ids, page=page, partitions=partitions, asked=asked)[0].page(limit)
            assert len(rows) == 1 or (len(rows) <= limit and sum(map(len, rows)) <= bytes_max)
            found += [json.loads(entity)["id"] for entity in rows]
            pages += 1
            if after is None:
                break
            assert after == found[-1]
    assert found == sorted(ids)
    assert pages <= max(1, len(ids))


async def test_a_condition_that_takes_too_long_is_told(monkeypatch):
    monkeypatch.setattr(limits, "query_s", 0.02)
    listing, shards = listing_of(["a/1"], asked=Asked(reads.Query("v > 1")))

    async def slow(*_):
        await asyncio.sleep(5)

    monkeypatch.setattr(shards, "call", slow)
    with pytest.raises(Unavailable, match="narrow the list by namespace or prefix"):
        await listing.begin()
