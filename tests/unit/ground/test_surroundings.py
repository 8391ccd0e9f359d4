"""Clocks and chance of this machine."""

from __future__ import annotations

import time
import uuid

from flux_actors.surroundings import HERE


def test_the_clocks_are_those_of_this_machine() -> None:
    before_ns, before_s = time.time_ns(), time.monotonic()
    now_us, steady_s = HERE.now_us(), HERE.steady_s()
    assert before_ns // 1_000 <= now_us <= time.time_ns() // 1_000
    assert before_s <= steady_s <= time.monotonic()


def test_identities_fit_where_they_go_and_differ() -> None:
    drawn = {HERE.identity() for _ in range(1_000)}
    assert len(drawn) == 1_000
    assert all(0 <= one < 1 << 63 for one in drawn)


def test_event_ids_are_uuids_of_version_7() -> None:
    assert {uuid.UUID(HERE.event_id()).version for _ in range(10)} == {7}
