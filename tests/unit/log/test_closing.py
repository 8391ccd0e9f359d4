"""Opening a stream that seems to be open; what else is closed and opened is asked in tests/contract."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.closing import JetStreamGenerations

OPEN = ["flux.events.0"]
CLOSED = ["flux.closed.0"]


class Server:
    """A client whose JetStream has one stream; it takes updates, unless it does not."""

    def __init__(self, subjects: list[str], *, takes: bool = True) -> None:
        self.subjects = subjects
        self.updates: list[list[str]] = []
        self._takes = takes

    def jetstream(self, timeout: float) -> Server:
        return self

    async def stream_info(self, name: str) -> Any:
        return SimpleNamespace(config=SimpleNamespace(subjects=self.subjects))

    async def update_stream(self, config: Any) -> None:
        self.updates.append(config.subjects)
        if self._takes:
            self.subjects = config.subjects


@pytest.mark.parametrize("subjects", [OPEN, CLOSED])
async def test_it_is_opened_also_if_it_seems_to_be(subjects: list[str]) -> None:
    server: Any = Server(subjects)
    await JetStreamGenerations(server).reopen(1, 0)
    assert server.updates == [OPEN]


async def test_one_that_does_not_open_is_told() -> None:
    server: Any = Server(CLOSED, takes=False)
    with pytest.raises(Unavailable, match="could not be opened"):
        await JetStreamGenerations(server).reopen(1, 0)
