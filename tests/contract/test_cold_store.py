"""What every `ColdStore` promises (flux_actors/shard/cold.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flux_actors.shard.cold import KEY_BYTES_MAX, ColdStore, MemoryColdStore
from flux_actors.shard.cold_lmdb import LmdbColdStore

IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
ROWS = st.lists(st.tuples(IDS, st.binary(max_size=40)), max_size=20)


@pytest.fixture(params=["memory", "lmdb"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ColdStore]:
    made = MemoryColdStore() if request.param == "memory" else LmdbColdStore(tmp_path / "not" / "yet")
    yield made
    made.close()


def rows_of(store: ColdStore, start: str = "") -> list[tuple[str, bytes]]:
    with store.walk(start) as rows:
        return list(rows)


def test_row_is_given_back_whole(store: ColdStore) -> None:
    rows = {"a": b"", "b/c": bytes(range(256)), "large": b"x" * 9_000_000}
    store.put(rows.items())
    assert {name: store.get(name) for name in rows} == rows
    assert store.get("b") is None


def test_row_replaces_the_one_before_and_the_last_of_one_put_counts(store: ColdStore) -> None:
    store.put([("a", b"a longer one" * 1_000), ("b", b"1")])
    store.put([("a", b"x"), ("b", b"2"), ("a", b"y")])
    assert rows_of(store) == [("a", b"y"), ("b", b"2")]


def test_nothing_has_an_empty_id(store: ColdStore) -> None:
    store.put([("a", b"1")])
    assert store.get("") is None


def test_empty_store_has_no_rows(store: ColdStore) -> None:
    store.put([])
    assert rows_of(store) == rows_of(store, "z") == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, start=IDS | st.just(""))
def test_walk_gives_the_rows_from_its_start_in_the_order_of_code_points(
    store: ColdStore, rows: list[tuple[str, bytes]], start: str
) -> None:
    store.put(rows)
    with store.walk("") as walk:
        names = [name for name, _ in walk]
    assert names == sorted(names)
    assert set(names) >= {name for name, _ in rows}
    assert [name for name, _ in rows_of(store, start)] == [name for name in names if name >= start]
    assert {name: store.get(name) for name, _ in rows} == dict(rows)


def test_longest_key_is_one_and_a_walk_may_start_at_a_longer_id(store: ColdStore) -> None:
    longest = "é" + "k" * (KEY_BYTES_MAX - 2)
    store.put([(longest, b"1"), ("é" + "l", b"2")])
    assert store.get(longest) == b"1"
    assert store.get(longest + "k") is None
    assert [name for name, _ in rows_of(store, longest + "k")] == ["él"]
    assert [name for name, _ in rows_of(store, longest)] == [longest, "él"]


def test_walk_sees_the_rows_of_the_moment_it_began(store: ColdStore) -> None:
    before = [(f"{number:04}", b"before" * 100) for number in range(500)]
    store.put(before)
    with store.walk("") as walk:
        seen = [next(walk)]
        store.put([(name, b"after") for name, _ in before] + [("0000a", b"new")])
        with store.walk("0000a") as second:
            assert next(second) == ("0000a", b"new")
        seen += walk
    assert seen == before
    assert store.get("0000") == b"after"


def test_walk_that_is_left_in_the_middle_does_no_harm(store: ColdStore) -> None:
    store.put([("a", b"1"), ("b", b"2")])
    for _ in range(300):
        with store.walk("") as walk:
            next(walk)
    store.put([("c", b"3")])
    assert [name for name, _ in rows_of(store)] == ["a", "b", "c"]
