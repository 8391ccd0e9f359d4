"""Answers of the past: one entity, a list, a count, changes; each as it would have been told then."""

from __future__ import annotations

import msgspec
import pytest

from flux_actors import limits
from flux_actors.domain.change import Change
from flux_actors.domain.entity import EntityRow
from flux_actors.errors import Refused
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.memory import MemoryLog
from flux_actors.past.answering import Answering
from flux_actors.past.orders import (
    ChangesOrder,
    CountOrder,
    EntityOrder,
    PagesOrder,
    Part,
    decode_changes,
    decode_count,
    decode_entity,
)
from flux_actors.past.target import PRESENT, ThroughPosition
from flux_actors.shard.reads import PageOrder, Query, Veil, decode_page
from tests.unit.past.folding import Folding, no_reducers, place
from tests.unit.past.writing import write
from tests.unit.shard.hosting import event

DELETED = {"__deleted__": True}


@pytest.fixture
async def folding():
    events = [event("n/a", {"v": 1}), event("n/b", {"v": 2}), event("m/c", {"v": 3}), event("n/a", DELETED)]
    return await write(Folding(), events)


@pytest.fixture
def answering(folding):
    return Answering(folding.log, folding.store, no_reducers())


def at(sequence):
    return ThroughPosition(place(sequence, 0))


def page(prefix="", bytes_max=1 << 20, veil=Veil(frozenset()), query=Query(), rows_max=None):  # noqa: B008
    return PageOrder(prefix, None, bytes_max, joined=False, veil=veil, query=query, rows_max=rows_max)


def parts(target, floors=None):
    return [Part(0, target, floors or {})]


async def listed(answering, order):
    pages = [decode_page(data) async for data in answering.pages(order)]
    return [[msgspec.json.decode(run)["id"] for run in page.runs] for page in pages]


async def test_an_entity_is_as_it_was_or_was_not_there(answering):
    async def entity(sequence):
        return decode_entity(await answering.answer(EntityOrder(0, "n/a", at(sequence))))

    assert await entity(3) == EntityRow("n/a", {"v": 1}, place(1, 0), 1)
    assert await entity(4) is None


async def test_changes_are_told_as_the_fold_made_them(answering):
    changes = decode_changes(await answering.answer(ChangesOrder(0, "n/", place(1, 0), 4)))
    assert changes == [Change(place(2, 0), "n/b", {"v": 2}, 2), Change(place(4, 0), "n/a", None, 4)]


async def test_too_many_bytes_of_changes_are_refused(answering, monkeypatch):
    monkeypatch.setattr(limits, "past_answer_bytes_max", 10)
    with pytest.raises(Refused, match="more than 10 bytes") as refused:
        await answering.answer(ChangesOrder(0, "", -1, 4))
    assert refused.value.status == 413


async def test_a_list_has_those_that_lived_in_order_of_their_ids(answering):
    assert await listed(answering, PagesOrder(parts(at(3)), page(), 1 << 20)) == [["m/c", "n/a", "n/b"]]
    assert await listed(answering, PagesOrder(parts(PRESENT), page(), 1 << 20)) == [["m/c", "n/b"]]
    assert await listed(answering, PagesOrder(parts(at(3)), page("n/"), 1 << 20)) == [["n/a", "n/b"]]


async def test_a_list_comes_in_pages_of_the_sizes_asked_for(answering):
    small = PagesOrder(parts(at(3)), page(bytes_max=1), 1 << 20)
    assert await listed(answering, small) == [["m/c"], ["n/a", "n/b"]]


async def test_a_list_is_asked_and_veiled_as_one_of_the_present(answering):
    veil = Veil(frozenset({"m"}))
    asked = page(veil=veil, query=Query(where="v >= 2"))
    assert await listed(answering, PagesOrder(parts(at(3)), asked, 1 << 20)) == [["n/b"]]
    assert decode_count(await answering.answer(CountOrder(parts(at(3)), asked))) == 1
    assert decode_count(await answering.answer(CountOrder(parts(at(3)), page()))) == 3


async def test_what_earlier_owners_of_a_name_left_is_not_told(answering):
    floors = {"n": place(2, 0)}
    assert await listed(answering, PagesOrder(parts(at(3), floors), page(), 1 << 20)) == [["m/c", "n/b"]]
    assert decode_count(await answering.answer(CountOrder(parts(at(3), floors), page()))) == 2


async def test_partitions_are_listed_as_one(folding):
    log = MemoryLog(2)
    for partition, ids in enumerate((["a/1", "c/1"], ["b/1", "d/1"])):
        for entity_id in ids:
            data = encode_block(1, 1 + ids.index(entity_id), 1, [encode_event(event(entity_id, {"v": 1}))])
            await log.append(partition, data, entity_id, 1.0)
    both = Answering(log, folding.store, no_reducers())
    order = PagesOrder([Part(0, at(2), {}), Part(1, at(1), {})], page(), 1 << 20)
    assert await listed(both, order) == [["a/1", "b/1", "c/1"]]
    assert decode_count(await both.answer(CountOrder(order.parts, page()))) == 3
