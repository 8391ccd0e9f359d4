"""A partition's part of a list: pages of a size, in runs, whatever happens between them."""

from __future__ import annotations

import asyncio
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.domain.acting.faults import FAULTS_PREFIX, fault_id
from flux_actors.domain.entity import EntityActor, render
from flux_actors.errors import Unavailable
from flux_actors.shard.listing import living_ids, page_of
from flux_actors.shard.partition import Phase
from flux_actors.shard.reads import PageOrder, Query, Veil
from tests.unit.shard.hosting import Hosting

IDS = st.lists(st.text("ab/é🙂", min_size=1, max_size=4), unique=True, max_size=12)
MIB = 1 << 20


def actor_of(entity_id, properties):
    actor = EntityActor(entity_id, 0)
    actor.properties = properties
    actor.updated_us = 1_700_000_000_000_001
    return actor


def host_of(*ids, dead=(), size=0):
    host = Hosting().host()
    for entity_id in [*ids, *dead]:
        host.state.adopt(actor_of(entity_id, None if entity_id in dead else {"v": "x" * size}))
    host.phase = Phase.RUNNING
    return host


async def pages(host, prefix="", bytes_max=1_000, *, joined=True):
    found, after = [], None
    while True:
        found.append(await page_of(host, PageOrder(prefix, after, bytes_max, joined)))
        after = found[-1].after
        if after is None:
            return found


def ids_in(found):
    return [
        entity["id"] for entity in json.loads(b"[" + b",".join(r for page in found for r in page.runs) + b"]")
    ]


@given(IDS, st.text("ab/", max_size=1), st.integers(1, 400), st.booleans(), st.data())
async def test_pages_hold_the_living_of_a_prefix_once_in_order(ids, prefix, bytes_max, joined, data):
    dead = set(data.draw(st.lists(st.sampled_from(ids), max_size=3)) if ids else [])
    host = host_of(*(i for i in ids if i not in dead), dead=dead)
    found = await pages(host, prefix, bytes_max, joined=joined)
    expected = sorted(i for i in ids if i not in dead and i.startswith(prefix))
    assert ids_in(found) == expected
    assert [i async for run in living_ids(host, prefix) for i in run] == expected


async def test_a_row_is_the_entity_as_it_reads_alone():
    host = host_of("n/a", "n/b", size=9)
    (page,) = await pages(host, joined=False)
    assert page.ids == ["n/a", "n/b"]
    assert page.runs == [render(host.state.entities[i]) for i in page.ids]


async def test_joined_runs_have_commas_between_and_the_id_of_their_last():
    host = host_of("n/a", "n/b", "n/c", size=9)
    (page,) = await pages(host)
    assert page.ids == ["n/c"]
    assert page.runs == [b",".join(render(host.state.entities[f"n/{i}"]) for i in "abc")]


@pytest.mark.parametrize("joined", [True, False])
async def test_a_page_of_large_entities_ends_with_the_one_that_fills_it(joined):
    host = host_of(*(f"n/{number}" for number in range(6)), size=MIB)
    found = await pages(host, bytes_max=MIB + MIB // 2, joined=joined)
    assert [len(ids_in([page])) for page in found] == [2, 2, 2]
    assert [page.after for page in found] == ["n/1", "n/3", None]


async def test_a_page_is_never_empty_before_the_end():
    dead = [f"n/{number:05}" for number in range(3 * limits.run_ids_max)]
    (page,) = await pages(host_of("n/z", dead=dead))
    assert page.ids == ["n/z"]


@pytest.mark.parametrize("size", [1, MIB])
async def test_others_get_their_turn_between_two_runs(size):
    host = host_of(
        *(f"n/{number:05}" for number in range(3 * limits.run_ids_max if size == 1 else 4)), size=size
    )
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    page = await page_of(host, PageOrder("", None, 4 * MIB, joined=True))
    task.cancel()
    assert turns >= len(page.runs) - 1 >= 2
    assert max(map(len, page.runs)) < limits.run_bytes + MIB + 100


async def test_one_that_changes_between_two_runs_is_listed_as_it_is_when_its_turn_comes(monkeypatch):
    monkeypatch.setattr(limits, "run_ids_max", 1)
    host = host_of("n/a", "n/b", "n/c", "n/d")

    async def change():
        host.state.entities["n/a"].properties = {"v": "late"}
        host.state.entities["n/b"].properties = None
        host.state.entities["n/c"].properties = {"v": "soon"}
        host.state.adopt(actor_of("n/0", {"v": 1}))

    page, _ = await asyncio.gather(page_of(host, PageOrder("", None, MIB, joined=False)), change())
    rows = [json.loads(run) for run in page.runs]
    assert [(row["id"], row["properties"]["v"]) for row in rows] == [
        ("n/a", ""),
        ("n/c", "soon"),
        ("n/d", ""),
    ]


async def test_nothing_is_listed_while_it_recovers():
    host = host_of("n/a")
    host.phase = Phase.RECOVERING
    with pytest.raises(Unavailable):
        await pages(host)
    with pytest.raises(Unavailable):
        await anext(living_ids(host, ""))


VEILS = st.builds(
    Veil,
    st.frozensets(st.sampled_from(["a", "b", "ab", "é", ""])),
    st.none() | st.sampled_from(["a/", "b/", "b/a", "ab/"]),
)


@given(IDS, VEILS, st.integers(1, 200), st.booleans())
async def test_what_is_behind_a_veil_is_as_if_it_were_not_there(ids, veil, bytes_max, joined):
    host = host_of(*ids)
    expected = sorted(i for i in ids if not veil.hides(i))
    found, after = [], None
    while True:
        found.append(await page_of(host, PageOrder("", after, bytes_max, joined, veil)))
        after = found[-1].after
        if after is None:
            break
    assert ids_in(found) == expected
    assert [i async for run in living_ids(host, "", veil) for i in run] == expected


def test_a_veil_hides_namespaces_except_what_is_shown():
    veil = Veil(frozenset({"a"}), "a/k/")
    ids = ("a/x", "a/k/x", "b/x", "a", "aa/x")
    assert [i for i in ids if veil.hides(i)] == ["a/x"]
    assert [i for i in map(fault_id, ids) if veil.hides(i)] == [fault_id("a/x")]
    assert not veil.hides("flux-core/audit")


def test_a_veil_covers_beginnings_of_which_nothing_is_shown():
    veil = Veil(frozenset({"a"}), "a/k/")
    beginnings = ("", "a", "a/", "a/k", "a/k/x", "a/x", "b/", "aa/")
    assert [one for one in beginnings if veil.covers(one)] == ["a/x"]
    assert [one for one in beginnings if veil.covers(FAULTS_PREFIX + one)] == ["a/x"]
    assert not veil.covers("flux-core/")


@given(IDS, VEILS, st.integers(1, 200))
async def test_faults_are_behind_the_veil_of_what_failed(ids, veil, bytes_max):
    faults = sorted({fault_id(entity_id) for entity_id in ids if entity_id})
    host = host_of(*faults, "flux-core/audit", "flux-core/zone")
    expected = [i for i in faults if not veil.hides(i)]
    found, after = [], None
    while True:
        found.append(await page_of(host, PageOrder("", after, bytes_max, joined=True, veil=veil)))
        after = found[-1].after
        if after is None:
            break
    assert ids_in(found) == ["flux-core/audit", *expected, "flux-core/zone"]


VALUES = st.one_of(st.integers(0, 5), st.sampled_from(["x", None]))


@given(
    st.dictionaries(st.text("ab/é", min_size=1, max_size=4), VALUES, max_size=20),
    st.integers(0, 5),
    st.integers(1, 6) | st.none(),
    st.integers(1, 300),
    st.booleans(),
)
async def test_pages_of_a_query_hold_what_matches_and_no_more_than_was_asked(
    values, least, rows_max, bytes_max, joined
):
    host = Hosting().host()
    for entity_id, value in values.items():
        host.state.adopt(actor_of(entity_id, {"v": value, "w": 1}))
    host.phase = Phase.RUNNING
    order = PageOrder(
        "", None, bytes_max, joined, query=Query(f"v >= {least}", ("v", "u")), rows_max=rows_max
    )
    found = []
    while True:
        page = await page_of(host, order)
        rows = json.loads(b"[" + b",".join(page.runs) + b"]")
        assert rows_max is None or len(rows) <= rows_max
        found += rows
        if page.after is None:
            break
        order = order._replace(after=page.after)
    expected = sorted(i for i, value in values.items() if isinstance(value, int) and value >= least)
    assert [(entity["id"], entity["properties"]) for entity in found] == [
        (entity_id, {"v": values[entity_id]}) for entity_id in expected
    ]


async def test_a_condition_that_matches_nothing_gives_empty_pages_after_a_while(monkeypatch):
    monkeypatch.setattr(limits, "run_ids_max", 2)
    monkeypatch.setattr(limits, "page_look_s", 0.0)
    host = host_of(*(f"n/{number}" for number in range(7)))
    page = await page_of(host, PageOrder("n/", None, 1_000, joined=False, query=Query("v = 1")))
    assert (page.ids, page.runs) == ([], [])
    assert page.after is None or page.after == "n/1"


@pytest.mark.parametrize("where", ["v = 1", " or ".join(["v = 1"] * 400)], ids=["short", "long"])
async def test_a_condition_that_matches_nothing_lets_others_have_their_turns(where):
    host = host_of(*(f"n/{number:05}" for number in range(3_000)))
    turns = 0

    async def other():
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert [i async for run in living_ids(host, "n/", where=where) for i in run] == []
    task.cancel()
    runs = 3_000 / limits.run_ids_max * (1 + len(where) // limits.where_run_chars)
    assert turns >= int(runs) - 1
