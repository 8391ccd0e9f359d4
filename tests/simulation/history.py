"""One history: a Flux, its clients and what goes wrong, all of it from a seed; then what is wrong with it."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections.abc import Iterator, MutableMapping
from contextlib import ExitStack, contextmanager
from typing import Any, Final, NamedTuple
from unittest.mock import patch

import structlog

from flux_actors import limits
from tests.simulation.chance import Chance
from tests.simulation.checks import wrong
from tests.simulation.loop import PROCESS, Stuck
from tests.simulation.nemesis import Nemesis
from tests.simulation.roles import roles_of
from tests.simulation.session import Session
from tests.simulation.settling import SETTLE_S, settled
from tests.simulation.watching import Watching
from tests.simulation.world import Noted, Plan, World

_CLIENTS_S: Final = 120.0
_REJOIN_S: Final = 0.1
_COLLECT_EVERY: Final = 100
# How often something goes wrong, and in what time: most histories are short, some outlast every patience.
_LENGTHS: Final = ((((0, 6), (2.0, 5.0)), 0.7), (((2, 10), (8.0, 25.0)), 0.3))
# Small enough that what is bounded in Flux reaches its bounds within a history.
_SMALL: Final = {
    "snapshot_slice_entities": (2, 5, 200),
    "snapshot_every_events": (15, 40, 1_000_000),
    "snapshot_every_s": (2.0, 5.0, 300.0),
    "feed_ring_bytes_max": (300, 3_000, 16 * limits.MIB),
    "feed_message_bytes_max": (120, limits.MIB, limits.MIB),
    "pull_bytes_apply_max": (200, 128 * limits.KIB, 128 * limits.KIB),
    "base_bytes": (60, 256 * limits.KIB, 256 * limits.KIB),
    "trim_every_s": (2.0, 60.0),
}


class Outcome(NamedTuple):
    """What became of a history."""

    seed: int
    wrong: list[str]
    digest: str  # the same for the same history
    steps: int
    seconds: float  # of simulated time
    acked: int
    notes: list[Noted]


def run(seed: int) -> Outcome:
    """Run the history of a seed."""
    chance = Chance(seed, "history")
    world = World(seed, Plan.drawn(chance))
    watchings = _watchings(chance, seed)
    found: list[str] = []
    with ExitStack() as around:
        around.enter_context(_quiet_collector(seed))
        around.enter_context(_noted_logs(world))
        for name, values in _SMALL.items():
            around.enter_context(patch.object(limits, name, chance.choice(values)))
        around.callback(world.loop.discard)
        try:
            found += world.loop.run(_live(world, chance, watchings))
            if not found:
                found += wrong(world, watchings)
        except (Stuck, AssertionError) as error:
            found.append(f"{type(error).__name__}: {error}")
        loop = world.loop
        return Outcome(
            seed, found, _digest(world), loop.steps, loop.time(), world.ledger.acked(), world.notes
        )


def _watchings(chance: Chance, seed: int) -> list[Watching]:
    patterns = ("*", "a/*", "b/*", "mine/*", "mine/w0", "wide/*", "near/*", "a/1")
    return [
        Watching(f"watcher{number}", chance.choice(patterns), plain=chance.happens(0.3), seed=seed)
        for number in range(chance.randint(0, 2))
    ]


async def _live(world: World, chance: Chance, watchings: list[Watching]) -> list[str]:
    """Let everything happen, then wait until it has come to rest; return what never did."""
    loop = world.loop
    await world.begin()
    while len(world.doors) < world.plan.doors:  # noqa: ASYNC110 - time that passes here is none
        await asyncio.sleep(_REJOIN_S)
    watching = loop.create_task(_keep_watching(world, watchings))
    roles = roles_of(chance, acts=world.plan.acts)
    clients = [loop.create_task(role(Session(world, name, world.seed))) for name, role in roles.items()]
    nemesis = Nemesis(world)
    harms, seconds = chance.one_of(_LENGTHS)
    await nemesis.work(chance.randint(*harms), chance.seconds(*seconds))
    nemesis.mend()
    done, pending = await asyncio.wait(clients, timeout=_CLIENTS_S)
    for client in clients:
        if client in done and client.exception() is not None:
            raise AssertionError(f"a client failed: {client.exception()!r}") from client.exception()
    if pending:
        return [f"{len(pending)} clients are not done {_CLIENTS_S:g} s after everything was mended"]
    left = await settled(world, watchings)
    watching.cancel()
    for one in watchings:
        one.finish()
    return [f"not at rest after {SETTLE_S:g} s: {text}" for text in left]


async def _keep_watching(world: World, watchings: list[Watching]) -> None:
    """Have each watcher be at a door that lives."""
    chance = Chance(world.seed, "watching")
    while True:
        for watching in watchings:
            if watching.door is not None and not watching.door.process.lives:
                watching.part()
            doors = world.living_doors()
            if watching.door is None and doors:
                door = chance.choice(doors)
                if not door.process.paused:
                    door.process.context.run(watching.join, door)
        await asyncio.sleep(_REJOIN_S)


def _digest(world: World) -> str:
    found = hashlib.blake2b(digest_size=16)
    for noted in world.notes:
        found.update(repr(noted).encode())
    for name in sorted(world.server.streams):
        for data in world.server.streams[name].ever:
            found.update(data)
    found.update(f"{world.loop.steps} {world.loop.time():.9f}".encode())
    return found.hexdigest()


@contextmanager
def _noted_logs(world: World) -> Iterator[None]:
    """Have all that Flux logs be noted instead."""

    def note(_: Any, level: str, line: MutableMapping[str, Any]) -> Any:
        process = PROCESS.get()
        event = line.pop("event")
        line.pop("exc_info", None)
        world.note(process.name if process is not None else "nobody", event, **line)
        raise structlog.DropEvent

    before = structlog.get_config()
    structlog.configure(processors=[note])
    try:
        yield
    finally:
        structlog.configure(**before)


@contextmanager
def _quiet_collector(seed: int) -> Iterator[None]:
    """Collect between histories, now and then: within one it would find nothing, and look at everything.

    A shard that recovers freezes what there is, so that has to be undone.
    """
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
        if seed % _COLLECT_EVERY == 0:
            gc.collect()
