"""How answers are read while a log is built anew; what is built is asked in tests/contract."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import nats.errors
import pytest

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.log import rebuilding
from flux_actors.log.rebuilding import JetStreamRebuilder
from tests.unit.log.fake_nats import FakeNats


def rebuilder(server: Any) -> JetStreamRebuilder:
    return JetStreamRebuilder(server)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "_RETRY_S", 0.0)


async def test_each_block_says_which_one_it_follows() -> None:
    server = FakeNats(last=6, answer=SimpleNamespace(data=b'{"seq":7}', headers=None))
    await rebuilder(server).append(2, 7, [b"x"])
    headers = {"Nats-Expected-Last-Sequence": "6", "Nats-Expected-Stream": "FLUX_EVENTS_2"}
    assert server.requests == [("flux.events.2", b"x", headers)]


@pytest.mark.parametrize(
    "answer", [b"", b"{}", b'{"seq":8}', b'{"error":{"description":"wrong last sequence"}}']
)
async def test_block_that_is_not_where_it_stood_is_tried_again_and_then_told(answer: bytes) -> None:
    server = FakeNats(last=6, answer=SimpleNamespace(data=answer, headers=None))
    with pytest.raises(Unavailable, match="block 7 of partition 0"):
        await rebuilder(server).append(0, 7, [b"x"])
    assert len(server.requests) == 10


async def test_blocks_are_on_their_way_in_bounded_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "restore_blocks_max", 3)
    monkeypatch.setattr(limits, "restore_bytes_max", 10)
    blocks = [b"x"] * 4 + [b"x" * 9] * 2 + [b"x" * 50, b"x"]
    pieces = list(rebuilding._pieces(5, blocks))  # noqa: SLF001
    assert [(first, len(some)) for first, some in pieces] == [(5, 3), (8, 2), (10, 1), (11, 1), (12, 1)]
    assert [data for _, some in pieces for data in some] == blocks


@pytest.mark.parametrize("fault", [nats.errors.ConnectionClosedError(), TimeoutError(), OSError()])
async def test_log_that_is_away_is_unavailable(fault: Exception) -> None:
    server = FakeNats(fault=fault)
    for attempt in (
        lambda: rebuilder(server).make(0, 1, "log"),
        lambda: rebuilder(server).append(0, 1, [b"x"]),
    ):
        with pytest.raises(Unavailable):
            await attempt()
