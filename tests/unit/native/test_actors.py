from __future__ import annotations

from typing import Any

import pytest

import flux_actors as flux
from flux_actors.native import actors


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """What the router was asked."""
    found: list[tuple[Any, ...]] = []
    monkeypatch.setattr(actors, "ask_router", lambda *arguments: found.append(arguments))
    return found


def test_every_call_asks_the_router(asked: list[tuple[Any, ...]]) -> None:
    flux.actors.find("home/", limit=3, admin_token="a")
    flux.actors.kill("home/1")
    flux.actors.restart("home/1")
    flux.actors.stop("home/1")
    flux.actors.pin("home/1", "0a")
    flux.actors.unpin("home/1")
    assert asked == [
        ("actors", "a", "home/", 3),
        ("act", None, "kill", "home/1"),
        ("act", None, "restart", "home/1"),
        ("act", None, "stop", "home/1"),
        ("pin", None, "home/1", "0a"),
        ("pin", None, "home/1", None),
    ]


def test_pin_stands_in_both_places() -> None:
    assert flux.pin is flux.actors.pin
