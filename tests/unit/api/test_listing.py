"""Lists: the pages of all partitions merged in id order, whatever their sizes."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.shard import reads
from flux_api.listing import Listing, stream_json
from tests.unit.api.standing import FakeCalls, row

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

    def _page(self, partition: int, prefix: str, after: str | None, limit: int) -> bytes:
        ids = [i for i in self._of(partition, prefix) if after is None or i > after]
        page = ids[: self._size]
        rows = [row(entity_id, {"id": entity_id}) for entity_id in page]
        return reads.encode(reads.Page(rows, page[-1] if len(ids) > self._size else None))

    def _count(self, partition: int, prefix: str) -> int:
        return len(self._of(partition, prefix))

    def _matching(self, partition: int, prefix: str, limit: int) -> list[str]:
        return self._of(partition, prefix)[:limit]


def listing_of(ids, namespace=None, prefix="", page=2, partitions=3) -> tuple[Listing, Shards]:
    rule = Partitioning(partitions, frozenset({"w"}))
    shards = Shards(rule, ids, page)
    door: Any = SimpleNamespace(shards=shards, partitioning=rule)
    return Listing(door, namespace, prefix), shards


async def streamed(listing):
    text = b"".join([part async for part in stream_json(listing)])
    return [entity["id"] for entity in json.loads(text)]


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


async def test_pages_have_the_size_of_the_limit():
    listing, shards = listing_of(["a/1"])
    await listing.begin()
    assert {asked[-1] for asked in shards.asked} == {limits.page_entities}
