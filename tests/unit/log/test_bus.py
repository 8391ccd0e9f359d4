from __future__ import annotations

import nats.errors
import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.bus import NatsBus
from tests.unit.log.fake_nats import FakeNats


@pytest.mark.parametrize(
    "fault", [nats.errors.ConnectionClosedError(), nats.errors.OutboundBufferLimitError(), OSError()]
)
async def test_message_that_cannot_be_sent_is_unavailable(fault: Exception) -> None:
    with pytest.raises(Unavailable):
        await NatsBus(FakeNats(fault=fault)).publish("s", b"x")  # type: ignore[arg-type]


class Unanswering(FakeNats):
    """Takes a subscription and does not answer whether it has it."""

    async def flush(self) -> None:
        raise nats.errors.FlushTimeoutError


@pytest.mark.parametrize("server", [FakeNats(fault=nats.errors.ConnectionClosedError()), Unanswering()])
async def test_subscription_that_the_server_may_not_know_of_is_none(server: FakeNats) -> None:
    async def hear(data: bytes) -> bytes:
        return data

    bus = NatsBus(server)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await bus.subscribe("s", hear)  # type: ignore[arg-type]
    with pytest.raises(Unavailable):
        await bus.serve("s", hear)
    assert all(subscription.ended for subscription in server.subscriptions)
