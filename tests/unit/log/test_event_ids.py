"""Ids of the server: UUIDv7s that never come twice and sort by their time."""

from __future__ import annotations

import uuid

from flux_actors.log.event_ids import EventIds


def test_ids_are_uuids_of_version_7_and_all_different() -> None:
    ids = EventIds()
    made = [ids.take(now_ms) for now_ms in (1, 1, 2) for _ in range(10_000)]
    assert len(set(made)) == len(made)
    for text in made[::997]:
        parsed = uuid.UUID(text)
        assert (parsed.version, str(parsed)) == (7, text)


def test_ids_sort_in_the_order_they_were_made() -> None:
    ids = EventIds()
    made = [ids.take(1) for _ in range(9_000)]
    assert made == sorted(made)


def test_two_doors_make_different_ids() -> None:
    one, other = EventIds(), EventIds()
    assert not {one.take(1) for _ in range(500)} & {other.take(1) for _ in range(500)}


def test_ids_come_from_what_is_drawn() -> None:
    drawn = iter(("01234567-89ab-7def-8123-456789abcdef", "01234567-89ab-7def-8123-456789abc000"))
    ids = EventIds(lambda: next(drawn))
    assert [ids.take(1), ids.take(1), ids.take(2)] == [
        "01234567-89ab-7def-8123-456789abc000",
        "01234567-89ab-7def-8123-456789abc001",
        "01234567-89ab-7def-8123-456789abc000",
    ]
