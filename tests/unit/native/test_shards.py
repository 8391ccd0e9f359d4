"""What the router tells of shards, as rows."""

from __future__ import annotations

from typing import Any

import pytest

from flux_actors.native import shards


def part(partition: int, phase: str = "running") -> dict[str, Any]:
    return {"partition": partition, "phase": phase, "entities": 10 + partition, "events_total": 100}


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    told = {
        "shards": {"two": [part(1), part(0, "following")], "one": [part(2), part(0)]},
        "placed": {"two": [1], "one": [0, 2]},
        "nodes": {"one": "n1"},
        "wanted": 2,
        "moving": {"partition": 0, "source": "one", "target": "two", "epoch": 4},
        "moves_left": 3,
        "even": False,
    }
    monkeypatch.setattr(shards, "ask_router", lambda method, token: told)
    return told


def test_rows_count_what_a_shard_owns(told: dict[str, Any]) -> None:
    assert shards.look().rows == [
        shards.ShardRow("one", "n1", [0, 2], 22, 200),
        shards.ShardRow("two", "", [1], 11, 100),
    ]


def test_what_moves_is_told(told: dict[str, Any]) -> None:
    found = shards.look()
    assert (found.wanted, found.moving, found.done) == (2, shards.Moving(0, "one", "two", 3), False)
    told |= {"moving": None, "even": True}
    assert shards.look()[1:] == (2, None, True)


def test_a_number_and_the_token_are_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    monkeypatch.setattr(shards, "ask_router", lambda *given: asked.append(given))
    shards.scale(3, admin_token="t")
    assert asked == [("scale", "t", 3)]
