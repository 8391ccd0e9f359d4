"""What clients must see of a Flux whose log takes nothing: refusals in time, and reads that go on."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final

import httpx

from flux_actors.errors import Unavailable
from flux_cluster.chaos.world import World

_CONNECTIONS: Final = 12  # the system gives each to one of three doors, so none is left out for long
_ENTITY: Final = "chaos-witness/warm"
_READ_S: Final = 2.0
_WARM_S: Final = 20.0


async def make_warm(world: World) -> None:
    """Have the doors know an entity.

    Raises:
        Unavailable: Flux does not take it, or does not tell it.
    """
    async with httpx.AsyncClient(base_url=world.url, timeout=_WARM_S, trust_env=False) as client:
        answer = await client.post("/api/events", params={"wait": "applied"}, json=_event())
    if not answer.is_success:
        raise Unavailable(f"Flux took no event before its log was broken: {answer.text}")
    await _at_all_doors(world, _WARM_S, _read)


async def see_refusals(world: World, within_s: float) -> None:
    """Publish and read at many connections at once.

    Raises:
        Unavailable: a publish was answered otherwise than with 503 and Retry-After, or later than `within_s`;
            or what the doors know was not told at once.
    """
    await asyncio.gather(_at_all_doors(world, within_s, _publish), _at_all_doors(world, _READ_S, _read))


async def _at_all_doors(
    world: World, within_s: float, ask: Callable[[httpx.AsyncClient], Awaitable[None]]
) -> None:
    async def one() -> None:
        began = time.monotonic()
        try:
            async with httpx.AsyncClient(base_url=world.url, timeout=within_s, trust_env=False) as client:
                await ask(client)
        except httpx.HTTPError as error:
            after_s = time.monotonic() - began
            raise Unavailable(
                f"a door gave no answer: {type(error).__name__} after {after_s:.1f} s"
            ) from error

    await asyncio.gather(*(one() for _ in range(_CONNECTIONS)))


async def _publish(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/events", json=_event())
    refused = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    if not (refused and answer.headers.get("Retry-After", "").isdigit()):
        raise Unavailable(f"without a log a publish was answered {answer.status_code} {answer.text[:200]}")


async def _read(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/state/entities/{_ENTITY}")
    if not answer.is_success:
        raise Unavailable(f"an entity that doors know was answered {answer.status_code} {answer.text[:200]}")


def _event() -> dict[str, object]:
    payload = {"entity_id": _ENTITY, "properties": {"seen": True}}
    return {"stream": "chaos", "source": "witness", "payload": payload}
