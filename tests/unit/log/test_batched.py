"""How batched reads are understood; what they read is asked in tests/contract."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.batched import Found, found_behind


class FakeClient:
    """Answers each request with the next list of messages."""

    def __init__(self, *batches: list[dict[str, str]]) -> None:
        self.batches = list(batches)
        self.asked: list[tuple[str, Any]] = []
        self.ended = 0
        self._left: list[dict[str, str]] = []

    def new_inbox(self) -> str:
        return "inbox"

    async def subscribe(self, inbox: str) -> FakeClient:
        return self

    async def publish(self, subject: str, data: bytes, reply: str) -> None:
        self.asked.append((subject, json.loads(data)))
        self._left = self.batches.pop(0)

    async def next_msg(self, timeout: float) -> Any:  # noqa: ASYNC109 - as nats-py has it
        return SimpleNamespace(data=b"x", headers=self._left.pop(0))

    async def unsubscribe(self) -> None:
        self.ended += 1


def message(sequence: int) -> dict[str, str]:
    return {"Nats-Subject": f"s.{sequence}", "Nats-Sequence": str(sequence)}


END = {"Status": "204"}
EMPTY = {"Status": "404"}


async def test_it_asks_until_nothing_is_left() -> None:
    client = FakeClient([message(3), message(7), END], [message(8), END], [EMPTY])
    found = await found_behind(client, "STREAM", "s.>", 2)  # type: ignore[arg-type]
    assert found[0] == Found("s.3", 3, b"x", message(3))
    assert [one.sequence for one in found] == [3, 7, 8]
    assert [request["seq"] for _, request in client.asked] == [3, 8, 9]
    assert {subject for subject, _ in client.asked} == {"$JS.API.DIRECT.GET.STREAM"}
    assert client.ended == 3


async def test_answer_that_is_none_is_unavailable() -> None:
    client = FakeClient([message(3), {"Status": "503"}])
    with pytest.raises(Unavailable):
        await found_behind(client, "STREAM", "s.>", 2)  # type: ignore[arg-type]
    assert client.ended == 1
