"""What makes a process tell of itself: it answers roll calls with its meters, its own life first."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from nats.aio.client import Client

from flux_actors.log.bus import NatsBus
from flux_actors.log.roll_call import Answerer
from flux_actors.metering.process import ProcessMeter, process_name
from flux_actors.metering.samples import Sample


async def tell(
    client: Client, role: str, meter: Callable[[], Iterable[Sample]], *, name: str = "", site: str = ""
) -> Answerer:
    """Have this process answer scrapes over its connection, for as long as it lives.

    Its name is made of its node and its id, unless it has one by which others know it; it must not be a
    namespace's.
    """
    process = ProcessMeter(role, client)
    process.begin()
    answerer = Answerer(NatsBus(client, site), name or process_name(role), role, [process.samples, meter])
    await answerer.open()
    return answerer
