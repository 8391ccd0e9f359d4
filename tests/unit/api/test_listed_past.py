"""The past in the place of shards: pages in their order, for one who may see the same all along."""

from __future__ import annotations

import asyncio

import pytest

from flux_actors.errors import Refused, Unavailable
from flux_actors.shard.reads import PageOrder, Veil, decode_page
from flux_api.at import read_moment
from flux_api.listed_past import ListedPast
from tests.unit.api.standing import event, until

ORDER = PageOrder("wide/", None, 1, joined=False, rows_max=1)


@pytest.fixture
async def listed(standing):
    await standing.publish(*(event(f"wide/{n}", {"v": n}) for n in range(4)))
    moment = read_moment("2999-01-01T00:00:00Z", 3)
    listed = ListedPast(standing.door.past, (0, 1, 2), moment)
    yield listed
    await listed.close()


async def test_pages_follow_each_other(listed):
    pages = [decode_page(await listed.call(0, "page", 0, ORDER)) for _ in range(2)]
    assert [page.ids for page in pages] == [["wide/0"], ["wide/1"]]


async def test_all_partitions_are_counted_at_once(listed):
    assert await listed.call(0, "count", 0, "wide/", Veil(frozenset()), "v > 0") == 3
    assert await listed.call(0, "count", 0, "wide/", Veil(frozenset({"wide"})), None) == 0


async def test_a_list_ends_when_its_reader_may_no_longer_see_the_same(listed):
    await listed.call(0, "page", 0, ORDER)
    with pytest.raises(Unavailable, match="who may read"):
        await listed.call(0, "page", 0, ORDER._replace(veil=Veil(frozenset({"wide"}))))


async def test_a_position_that_says_nothing_of_a_partition_is_refused_at_once(standing):
    with pytest.raises(Refused, match="another partition"):
        ListedPast(standing.door.past, (0, 1), read_moment("0.1.0", 3))


async def test_a_fold_is_given_up_though_whoever_closes_it_is_ended(listed, standing):
    ended = []

    async def pages(order):
        try:
            yield await of_shards(order)
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    async def of_shards(order):
        return b"page"

    standing.door.past.folds.pages = pages
    assert await listed.call(0, "page", 0, ORDER) == b"page"
    closing = asyncio.create_task(listed.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await until(lambda: ended)


async def test_closing_what_was_never_asked_is_quiet(standing):
    await ListedPast(standing.door.past, (0,), read_moment("0.1.0", 3)).close()
