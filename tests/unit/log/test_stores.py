"""How the names of stores are read page by page; what they hold is asked in tests/contract."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.stores import JetStreamStores, stream_names


class FakeClient:
    """Has streams, of which it tells two at a time."""

    def __init__(self, *streams: str, fault: Exception | None = None) -> None:
        self.streams = streams
        self.fault = fault

    async def request(self, subject: str, data: bytes, timeout: float) -> Any:  # noqa: ASYNC109 - as nats-py has it
        if self.fault is not None:
            raise self.fault
        assert subject == "$JS.API.STREAM.NAMES"
        offset = json.loads(data)["offset"]
        some = list(self.streams[offset : offset + 2]) or None
        return SimpleNamespace(data=json.dumps({"total": len(self.streams), "streams": some}).encode())


async def test_all_pages_are_read() -> None:
    names = ["KV_flux_b", "KV_flux_a", "KV_others", "KV_flux_c", "KV_fluxx"]
    assert await stream_names(FakeClient(*names), "$KV.>") == names  # type: ignore[arg-type]
    stores = JetStreamStores(FakeClient(*names))  # type: ignore[arg-type]
    assert await stores.names() == ["flux_a", "flux_b", "flux_c"]
    assert await stream_names(FakeClient(), "$KV.>") == []  # type: ignore[arg-type]


@pytest.mark.parametrize("fault", [nats.errors.ConnectionClosedError(), TimeoutError(), OSError()])
async def test_log_that_is_away_is_unavailable(fault: Exception) -> None:
    with pytest.raises(Unavailable):
        await stream_names(FakeClient(fault=fault), "$KV.>")  # type: ignore[arg-type]
