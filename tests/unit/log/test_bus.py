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
