"""A desk over a ground of a few entities."""

from __future__ import annotations

import pytest

from flux_actors import limits
from flux_api.hub import Hub
from flux_api.watcher import Watcher
from tests.unit.api.sockets import FakeLink
from tests.unit.api.standing import row
from tests.unit.api.watching.fake_ground import FakeGround


@pytest.fixture
def ground():
    return FakeGround([row("a/1", {"v": 1}, 3), row("a/2", {"v": 2}, 4)], sequence=5)


@pytest.fixture
def hub(ground):
    return Hub(ground=ground)


@pytest.fixture
def watcher(hub):
    watcher = Watcher(FakeLink())
    hub.join(watcher)
    return watcher


@pytest.fixture
def _small(monkeypatch):
    monkeypatch.setattr(limits, "fan_out_slice_bytes", 200)
    monkeypatch.setattr(limits, "socket_waiting_bytes_max", 400)
