"""A user of Flux on twins: a real shard over a log in memory."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flux_actors import limits
from flux_actors.native.flux import Flux
from tests.unit.native.twin import Twin


@pytest.fixture
def fx(monkeypatch: pytest.MonkeyPatch) -> Iterator[Flux]:
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    monkeypatch.setattr(limits, "native_retry_s", 0.001)
    twin = Twin()
    yield twin.flux()
    twin.down()
