"""`GET /api/state/entities`: which entities are listed, in what order, and how many they are."""

from __future__ import annotations

import gzip
import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest
import zstandard

from tests.busy import busy
from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
ENTITIES = "/api/state/entities"


@pytest.fixture
def world(api, namespace):
    """Entities in two neighbouring namespaces; returns the ids of the first, sorted."""
    names = [
        f"{namespace}/{name}" for name in ("a", "a/1", "a/2", "ab", "b", "ü", "日", "🙂", "\uffee", "A", "~")
    ]
    others = [f"{namespace}x/a", f"{namespace}", f"{namespace}-/a"]
    answer = api.post(
        "/api/events/batch", json=[event(name, {"of": name}) for name in [*names[::-1], *others]]
    )
    assert answer.json()["failed"] == 0
    return sorted(names)


def ids(answer):
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return [entity["id"] for entity in answer.json()]


def test_a_list_is_a_bare_array_of_entities_as_they_read_alone(api, namespace, publish):
    publish(f"{namespace}/e", {"a": [1]})
    one = api.get(f"{ENTITIES}/{namespace}/e")
    assert api.get(ENTITIES, params={"namespace": namespace}).content == b"[" + one.content + b"]"


def test_a_namespace_lists_its_own_entities_sorted_by_id(api, namespace, world):
    assert ids(api.get(ENTITIES, params={"namespace": namespace})) == world


@pytest.mark.parametrize("prefix", ["", "/", "/a", "/a/", "/ab", "/ü", "/🙂", "/b", "/nothing", "x/", "x/a"])
def test_a_prefix_lists_the_ids_that_begin_so(api, namespace, world, prefix):
    listed = ids(api.get(ENTITIES, params={"prefix": namespace + prefix}))
    everything = [*world, f"{namespace}x/a", namespace, f"{namespace}-/a"]
    assert listed == sorted(name for name in everything if name.startswith(namespace + prefix))


@pytest.mark.parametrize(
    ("prefix", "count"),
    [("{}/a", 4), ("{}/a/", 2), ("{}/", 11), ("{}", 11), ("{}/nothing", 0), ("{}x/", 0), ("a", 0), ("", 11)],
)
def test_namespace_and_prefix_must_both_hold(api, namespace, world, prefix, count):
    params = {"namespace": namespace, "prefix": prefix.format(namespace)}
    assert len(ids(api.get(ENTITIES, params=params))) == count
    assert api.get(ENTITIES, params=params | {"count": "true"}).json() == {"count": count}
    assert api.head(ENTITIES, params=params).headers["Flux-Count"] == str(count)


def test_an_unknown_namespace_is_an_empty_array(api, namespace):
    assert api.get(ENTITIES, params={"namespace": f"{namespace}none"}).content == b"[]"


@pytest.mark.parametrize(
    "odd", ["a/b", "/", "*", "ü", " ", "%", "'", '"', "..", "a" * 2000, "\x00", "\n"], ids=ascii
)
def test_an_odd_namespace_or_prefix_matches_nothing(api, namespace, world, odd):
    assert api.get(ENTITIES, params={"namespace": f"{namespace}{odd}"}).content == b"[]"
    assert ids(api.get(ENTITIES, params={"namespace": namespace, "prefix": f"{namespace}/{odd}!"})) == []


def test_everything_is_listed_without_a_filter(api, world):
    listed = ids(api.get(ENTITIES))
    assert listed == sorted(listed)
    assert set(world) <= set(listed)
    assert len(set(listed)) == len(listed)


def test_the_count_of_everything_agrees_with_its_head(api, namespace, world):
    count = api.get(ENTITIES, params={"prefix": namespace, "count": "true"})
    assert count.content == b'{"count":14}'
    head = api.head(ENTITIES, params={"prefix": namespace})
    assert (head.status_code, head.headers["Flux-Count"], head.content) == (200, "14", b"")


@pytest.mark.parametrize("value", ["false", "0", ""])
def test_a_count_that_is_not_asked_for_is_the_list(api, namespace, world, value):
    assert ids(api.get(ENTITIES, params={"namespace": namespace, "count": value})) == world


def test_a_deleted_entity_is_not_listed_and_not_counted(api, namespace, world):
    api.delete(f"{ENTITIES}/{namespace}/b")
    listed = ids(api.get(ENTITIES, params={"namespace": namespace}))
    assert listed == [name for name in world if name != f"{namespace}/b"]
    assert api.get(ENTITIES, params={"namespace": namespace, "count": "true"}).json() == {"count": 10}


def test_an_entity_that_comes_back_is_listed_once(api, namespace, world, publish):
    api.delete(f"{ENTITIES}/{namespace}/b")
    publish(f"{namespace}/b", {"again": 1})
    assert ids(api.get(ENTITIES, params={"namespace": namespace})) == world


def test_a_list_of_many_pages_is_whole_and_sorted(api, namespace):
    names = [f"{namespace}/{n * 7919 % 10_007:05}" for n in range(7_000)]
    assert api.post("/api/events/batch", json=[event(name, {"n": 1}) for name in names]).json()["failed"] == 0
    assert ids(api.get(ENTITIES, params={"namespace": namespace})) == sorted(names)


def test_a_list_over_several_partitions_is_whole_and_sorted(api, namespace):
    names = [f"{namespace}{space}/{n:04}" for space in range(8) for n in range(600)]
    assert api.post("/api/events/batch", json=[event(name, {"n": 1}) for name in names]).json()["failed"] == 0
    assert ids(api.get(ENTITIES, params={"prefix": namespace})) == sorted(names)


def test_a_list_is_streamed_in_chunks(raw, namespace, world):
    connection = raw()
    connection.send(
        b"GET %s?namespace=%s HTTP/1.1\r\nHost: a\r\n\r\n" % (ENTITIES.encode(), namespace.encode())
    )
    answer = connection.answer()
    assert answer.headers["transfer-encoding"] == "chunked"
    assert [entity["id"] for entity in answer.json()] == world


def test_a_bad_position_is_told_before_the_list_begins(api, namespace):
    assert_error(api.get(ENTITIES, params={"namespace": namespace, "at_least": "x"}), 400)


def test_a_list_through_the_second_entrance_is_the_same(proxy, api, namespace, world):
    params = {"namespace": namespace}
    position = {"Flux-Position": api.headers["Flux-Position"]}
    assert (
        proxy.get(ENTITIES, params=params, headers=position).content
        == api.get(ENTITIES, params=params).content
    )
    assert proxy.head(ENTITIES, params=params, headers=position).headers["Flux-Count"] == "11"


@pytest.fixture
def rooms(api, namespace):
    """Thirty rooms, a third of them busy; returns the namespace."""
    bodies = [
        event(
            f"{namespace}/{n:02d}",
            {"n": n, "status": "busy" if n % 3 == 0 else "free", "at": {"floor": n // 10}},
        )
        for n in range(30)
    ]
    assert api.post("/api/events/batch", json=bodies, params={"wait": "applied"}).json()["failed"] == 0
    return namespace


def numbers(answer):
    assert answer.status_code == 200, answer.text
    return [entity["properties"]["n"] for entity in answer.json()]


@pytest.mark.parametrize(
    ("where", "matches"),
    [
        ('status = "busy"', lambda n: n % 3 == 0),
        ('status = "busy" and at.floor >= 1', lambda n: n % 3 == 0 and n >= 10),
        ("not (n < 5 or n > 7)", lambda n: 5 <= n <= 7),
        ("exists(nothing)", lambda n: False),
        ("n > 1e99", lambda n: False),
    ],
)
def test_where_filters_lists_and_counts(api, rooms, where, matches):
    expected = [n for n in range(30) if matches(n)]
    query = {"namespace": rooms, "where": where}
    assert numbers(api.get(ENTITIES, params=query)) == expected
    assert api.get(ENTITIES, params={**query, "count": "true"}).json() == {"count": len(expected)}
    assert api.head(ENTITIES, params=query).headers["Flux-Count"] == str(len(expected))


def test_fields_projects(api, rooms):
    query = {"namespace": rooms, "prefix": f"{rooms}/00", "fields": "n,at,nothing"}
    (entity,) = api.get(ENTITIES, params=query).json()
    assert entity["properties"] == {"n": 0, "at": {"floor": 0}}
    assert entity["lastUpdated"]


def pages(api, query, between=lambda: None):
    answer = api.get(ENTITIES, params=query)
    while True:
        yield answer
        if "next" not in answer.links:
            return
        between()
        answer = api.get(answer.links["next"]["url"])


def test_pages_lead_through_the_list(api, rooms):
    found = [numbers(page) for page in pages(api, {"namespace": rooms, "limit": 7})]
    assert [len(page) for page in found] == [7, 7, 7, 7, 2]
    assert [n for page in found for n in page] == list(range(30))
    busy = pages(api, {"namespace": rooms, "limit": 5, "where": 'status = "busy"', "fields": "n"})
    assert [numbers(page) for page in busy] == [[0, 3, 6, 9, 12], [15, 18, 21, 24, 27]]


def test_pages_are_stable_whatever_is_written_between_them(api, rooms, publish):
    turn = iter(range(100))

    def write():
        n = next(turn)
        publish(f"{rooms}/{n:02d}a", {"n": -1})
        publish(f"{rooms}/zz{n}", {"n": -1})
        publish(f"{rooms}/{29 - n:02d}", {"touched": n})
        assert api.delete(f"{ENTITIES}/{rooms}/{n:02d}a", params={"wait": "applied"}).status_code == 200

    found = [n for page in pages(api, {"namespace": rooms, "limit": 4}, write) for n in numbers(page)]
    assert [n for n in found if n >= 0] == list(range(30))


def test_lines_are_streamed_when_they_are_asked_for(api, rooms):
    query = {"namespace": rooms, "where": "n < 3"}
    for more in ({}, {"limit": 3}):
        answer = api.get(ENTITIES, params=query | more, headers={"Accept": "application/x-ndjson"})
        assert answer.headers["content-type"].startswith("application/x-ndjson")
        assert answer.text.endswith("\n")
        lines = [json.loads(line) for line in answer.text.splitlines()]
        assert lines == api.get(ENTITIES, params=query).json()


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"where": "n >"}, "where ends too early"),
        ({"where": "n ~ 3"}, "where cannot be read at character 3"),
        ({"limit": "0"}, "limit must be"),
        ({"cursor": "abc"}, "cursor needs limit"),
        ({"limit": "1", "cursor": "*"}, "cursor must be"),
        ({"fields": ""}, "fields must be"),
    ],
)
def test_a_query_that_cannot_be_read_is_400(api, namespace, query, told):
    assert told in assert_error(api.get(ENTITIES, params={"namespace": namespace} | query), 400)


@pytest.fixture
def crowd(api, namespace):
    """Two thousand entities of one namespace, several pages of a shard; returns the namespace."""
    bodies = [event(f"{namespace}/{n:05d}", {"n": n, "text": "x" * 400}) for n in range(2_000)]
    answer = api.post("/api/events/batch", json=bodies, params={"wait": "applied"})
    assert answer.json()["failed"] == 0
    return namespace


def unpacked(body, encoding):
    if encoding == "gzip":
        return gzip.decompress(body)
    return zstandard.ZstdDecompressor().decompressobj().decompress(body)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("accept", ["application/json", "application/x-ndjson"])
@pytest.mark.parametrize("more", [{}, {"limit": "900"}, {"where": "n >= 500"}], ids=["all", "page", "where"])
def test_lists_lines_and_pages_are_compressed_on_request(api, crowd, encoding, accept, more):
    query = {"namespace": crowd} | more
    plain = api.get(ENTITIES, params=query, headers={"Accept": accept, "Accept-Encoding": "identity"})
    headers = {"Accept": accept, "Accept-Encoding": encoding}
    with api.stream("GET", ENTITIES, params=query, headers=headers) as answer:
        body = b"".join(answer.iter_raw())
    assert answer.headers["content-encoding"] == encoding
    assert ("transfer-encoding" in answer.headers) == ("limit" not in more)
    for one in (plain, answer):
        assert {"Accept", "Accept-Encoding"} <= set(one.headers["vary"].split(", "))
        assert one.headers["content-type"].startswith(accept)
    assert plain.links == answer.links
    assert unpacked(body, encoding) == plain.content
    assert len(body) < len(plain.content) / 5


def test_a_compressed_list_begins_before_its_end_is_known(api, crowd):
    query = {"namespace": crowd}
    with api.stream("GET", ENTITIES, params=query, headers={"Accept-Encoding": "gzip"}) as answer:
        parts = list(answer.iter_raw())
    assert len(parts) > 1


def test_the_head_of_a_list_promises_no_length_and_varies_as_the_list_does(api, crowd):
    for accept in ("application/json", "application/x-ndjson"):
        head = api.head(ENTITIES, params={"namespace": crowd}, headers={"Accept": accept})
        assert (head.headers["Flux-Count"], head.content) == ("2000", b"")
        assert head.headers["content-type"].startswith(accept)
        assert "content-length" not in head.headers
        assert {"Accept", "Accept-Encoding"} <= set(head.headers["vary"].split(", "))
    count = api.get(
        ENTITIES, params={"namespace": crowd, "count": "true"}, headers={"Accept-Encoding": "gzip"}
    )
    assert count.json() == {"count": 2_000}


@contextmanager
def beside(flux: Any, *turns: Callable[[httpx.Client, int], None]) -> Iterator[None]:
    """Have each turn taken again and again, with a client and its number; all have been taken once before."""
    once, ended = threading.Barrier(len(turns) + 1), threading.Event()

    def go_on(turn: Callable[[httpx.Client, int], None]) -> None:
        try:
            with httpx.Client(base_url=flux.url, timeout=20) as client:
                turn(client, 1)
                once.wait(30)
                for number in itertools.count(2):
                    if ended.is_set():
                        return
                    turn(client, number)
        except BaseException:
            once.abort()
            raise

    with ThreadPoolExecutor(len(turns)) as pool:
        going_on = [pool.submit(go_on, turn) for turn in turns]
        try:
            once.wait(30)
            yield
        finally:
            ended.set()
            for one in going_on:
                one.result()


def test_who_lives_while_pages_are_read_comes_once_whatever_others_write(flux, api, crowd):
    """Two writers add, change and delete; pages are read beside them."""

    def write(first: int, client: httpx.Client, number: int) -> None:
        bodies = [event(f"{crowd}/{n:05d}", {"touched": number}) for n in range(first, 2_000, 40)]
        bodies += [event(f"{crowd}/{n:05d}+{first}", {"n": -1}) for n in range(first, 2_000, 40)]
        assert client.post("/api/events/batch", json=bodies).json()["failed"] == 0
        gone = [event(f"{crowd}/{n:05d}+{first}", {"__deleted__": True}) for n in range(first, 2_000, 40)]
        assert client.post("/api/events/batch", json=gone).json()["failed"] == 0

    with beside(flux, partial(write, 0), partial(write, 7)):
        for more in ({"limit": 37}, {"limit": 150, "where": "n >= -1", "fields": "n"}):
            listed = [
                entity["id"] for page in pages(api, {"namespace": crowd} | more) for entity in page.json()
            ]
            assert listed == sorted(set(listed))
            stayed = [i for i in listed if "+" not in i]
            assert stayed == [f"{crowd}/{n:05d}" for n in range(2_000)]


def test_a_condition_that_matches_nothing_holds_nobody_up(flux, api, crowd, publish):
    """Six readers have the shard look at all entities again and again; events are applied meanwhile."""
    query = {"namespace": crowd, "where": " or ".join(["n < 0"] * 400), "count": "true"}

    def ask(client: httpx.Client, number: int) -> None:
        assert client.get(ENTITIES, params=query).json() == {"count": 0}, number

    with beside(flux, *[ask] * 6):
        slowest_s = max(
            publish(f"{crowd}/late", {"n": number}).elapsed.total_seconds() for number in range(20)
        )
    assert slowest_s < 1.0 * busy()
