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
_NO_CONNECTION_TWICE: Final = httpx.Limits(max_keepalive_connections=0)
_WARM_S: Final = 20.0
_AGAIN_S: Final = 0.5
_FILL: Final = "x" * 100_000
_FILL_MAX: Final = 400


async def make_warm(world: World) -> None:
    """Have the doors know an entity.

    Raises:
        Unavailable: Flux does not take it, or does not tell it.
    """
    deadline = time.monotonic() + _WARM_S
    async with client_of(world, _WARM_S) as client:
        while True:  # a server that was just started again may have lost its leaders
            answer = await client.post("/api/events", params={"wait": "applied"}, json=_event())
            if answer.is_success:
                break
            if time.monotonic() > deadline:
                raise Unavailable(f"Flux took no event before its log was broken: {answer.text}")
            await asyncio.sleep(_AGAIN_S)
    await _at_all_doors(world, _WARM_S, _read)


async def fill(world: World) -> int:
    """Publish large events until no more are taken; return how many were.

    Raises:
        Unavailable: so many were that the log cannot have been near its end.
    """
    async with client_of(world, _WARM_S) as client:
        for number in range(_FILL_MAX):
            answer = await client.post("/api/events", json=_event(f"{_ENTITY}-{number % 10}", _FILL))
            if answer.status_code == httpx.codes.SERVICE_UNAVAILABLE:
                return number
    raise Unavailable(f"the log took {_FILL_MAX} events of {len(_FILL)} bytes, and was not full")


async def see_refusals(world: World, within_s: float) -> None:
    """Publish and read at many connections at once.

    Raises:
        Unavailable: a publish was answered otherwise than with 503 and Retry-After, or later than `within_s`;
            or what the doors know was not told at once.
    """
    await asyncio.gather(_at_all_doors(world, within_s, _publish), _at_all_doors(world, _READ_S, _read))


def client_of(world: World, within_s: float) -> httpx.AsyncClient:
    """Return a client each of whose requests has a connection of its own, and so a door by chance."""
    return httpx.AsyncClient(
        base_url=world.url, timeout=within_s, trust_env=False, limits=_NO_CONNECTION_TWICE
    )


async def _at_all_doors(
    world: World, within_s: float, ask: Callable[[httpx.AsyncClient], Awaitable[None]]
) -> None:
    began = time.monotonic()
    try:
        async with client_of(world, within_s) as client:
            await asyncio.gather(*(ask(client) for _ in range(_CONNECTIONS)))
    except httpx.HTTPError as error:
        after_s = time.monotonic() - began
        raise Unavailable(f"a door gave no answer: {type(error).__name__} after {after_s:.1f} s") from error


async def _publish(client: httpx.AsyncClient) -> None:
    answer = await client.post("/api/events", json=_event())
    refused = answer.status_code == httpx.codes.SERVICE_UNAVAILABLE
    if not (refused and answer.headers.get("Retry-After", "").isdigit()):
        raise Unavailable(f"without a log a publish was answered {answer.status_code} {answer.text[:200]}")


async def _read(client: httpx.AsyncClient) -> None:
    answer = await client.get(f"/api/state/entities/{_ENTITY}")
    if not answer.is_success:
        raise Unavailable(f"an entity that doors know was answered {answer.status_code} {answer.text[:200]}")


def _event(entity_id: str = _ENTITY, said: str = "seen") -> dict[str, object]:
    payload = {"entity_id": entity_id, "properties": {"said": said}}
    return {"stream": "chaos", "source": "witness", "payload": payload}
