"""Entities that act: behaviours that count what comes to them, and workers that get lost."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Callable
from functools import cache
from typing import Any, Final

from flux_actors.behaviour.acting_entity import ActingEntity
from flux_actors.behaviour.behaviour import Behaviour, described
from flux_actors.behaviour.change import Change, SeenEvent
from flux_actors.behaviour.code import digest_of
from flux_actors.behaviour.code_store import MemoryCodeStore
from flux_actors.behaviour.deployer import DeployRequest
from flux_actors.behaviour.handling import Handling
from flux_actors.behaviour.ports import NOBODY, Place, WorkerLost
from flux_actors.behaviour.reducing import DirectReducers
from flux_actors.behaviour.wire import LOST, decode_orders, encode
from flux_actors.domain.acting.catalogue import Supervision, Version
from flux_actors.errors import Unavailable
from tests.simulation.chance import Chance
from tests.simulation.loop import SimulatedLoop

_WORK_S: Final = (0.0005, 0.02)
_LOST: Final = 0.03  # of calls, before or behind the work
_AWAY: Final = 0.02
PATIENT: Final = Supervision(retries=1_000, backoff_s=0.01, backoff_s_max=0.05)


class Teller(Behaviour):
    """Has an effect beside itself and one in another namespace, and at times a reminder."""

    match = "near/in/*"
    supervision = PATIENT

    def on_change(self, entity: ActingEntity, change: Change) -> None:
        who, n = entity.id.rpartition("/")[2], change.properties["n"]
        entity.emit(f"near/ledger/{who}", {"n": n})
        if change.properties["rings"]:
            entity.remind(f"{n}", after_s=0.2)
        entity.emit(f"faraway/each/{who}-{n}", {"n": n})

    def on_reminder(self, entity: ActingEntity, name: str) -> None:
        entity.emit(f"faraway/rung/{entity.id.rpartition('/')[2]}-{name}", {"n": int(name)})


class Ledger(Behaviour):
    """Knows whether the effects came in order, each once."""

    match = "near/ledger/*"

    def reduce(self, state: dict[str, Any], event: SeenEvent) -> dict[str, Any]:
        last, n = state.get("last", 0), event.properties["n"]
        return {"last": n, "wrong": state.get("wrong", 0) + (n != last + 1)}


class Counting(Behaviour):
    """Counts its events."""

    match = ("faraway/each/*", "faraway/rung/*")

    def reduce(self, state: dict[str, Any], event: SeenEvent) -> dict[str, Any]:
        return {"times": state.get("times", 0) + 1}


_ALL: Final = (Teller, Ledger, Counting)


@cache
def _packed() -> dict[str, tuple[type[Behaviour], bytes]]:
    """Return the code of each behaviour by its digest: by reference, so it is the same in each process."""
    found = ((made, pickle.dumps(made)) for made in _ALL)
    return {digest_of(code): (made, code) for made, code in found}


def codes() -> MemoryCodeStore:
    """Return a store of all code."""
    store = MemoryCodeStore()
    store.kept = {digest: code for digest, (_, code) in _packed().items()}
    return store


@cache
def reducers() -> DirectReducers:
    """Return reducers that know all code; they keep nothing of a history."""
    found = DirectReducers()
    for digest, (_, code) in _packed().items():
        found.load(digest, code)
    return found


def requests() -> list[DeployRequest]:
    """Return what is deployed at the beginning of a history."""
    found = []
    for digest, (made, code) in _packed().items():
        one = described(made)
        version = Version(
            0,
            digest,
            list(one.match),
            list(one.handles),
            list(one.awaits),
            one.dedicated,
            one.supervision,
            one.bounds,
        )
        found.append(DeployRequest(made.__name__, version, code))
    return found


class _Unguarded:
    """A guard that lets handlers take their time: these are tame."""

    def call(self, limit_s: float, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(*arguments)

    def guard(self) -> _Unguarded:
        return self


class _Codes:
    def code(self, digest: str) -> bytes | None:
        return _packed()[digest][1]


class SimulatedWorkers:
    """`Workers` of one shard, with the real `Handling`; some calls end with their worker."""

    def __init__(self, loop: SimulatedLoop, seed: int, name: str) -> None:
        self._chance = Chance(seed, f"workers of {name}")
        guard: Any = _Unguarded()
        self._handling = Handling(_Codes(), guard, clock_s=loop.time, now_ms=lambda: 1)

    async def run(self, place: Place, versions: dict[str, Version], orders: bytes, *, awaits: bool) -> bytes:
        """Handle orders, if nothing comes between."""
        chance = self._chance
        await asyncio.sleep(chance.seconds(*_WORK_S))
        if chance.happens(_AWAY):
            raise Unavailable("no worker can be started now")
        if chance.happens(_LOST):
            raise WorkerLost(LOST, "its process ended", NOBODY)
        results = self._handling.run(decode_orders(orders))
        await asyncio.sleep(chance.seconds(*_WORK_S))
        if chance.happens(_LOST):
            raise WorkerLost(LOST, "its process ended", NOBODY)
        return encode(results)

    async def forget(self, place: Place, entity_ids: list[str]) -> None:
        """Drop instances: these have no state."""

    def begin(self, place: Place) -> None:
        """Start a process before it is needed: here is none."""

    def node(self, place: Place) -> str:
        """Return where a place is: nowhere in particular."""
        return ""

    async def close(self) -> None:
        """End all processes: here is none."""
