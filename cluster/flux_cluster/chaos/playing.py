"""Playing a scenario in a world: the load runs, faults are injected and healed, and then all is compared."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from flux_actors.errors import FluxError, Unavailable
from flux_actors.reporting import Say
from flux_cluster.chaos.checks import outage_faults
from flux_cluster.chaos.fault import Fault, Prepared
from flux_cluster.chaos.judging import faults_of
from flux_cluster.chaos.load import Load
from flux_cluster.chaos.registry import fault_of
from flux_cluster.chaos.scenario import Moment, Scenario, moments
from flux_cluster.chaos.waiting import until
from flux_cluster.chaos.world import PARTITIONS, World

_BEGIN_S: Final = 60.0
_BEGUN: Final = 50  # events that were acknowledged before the clock of the scenario starts
_ACT_S: Final = 20.0  # in which each client goes on after all is healed; a request takes five at most


class Outcome(msgspec.Struct, frozen=True):
    """What came of a scenario."""

    scenario: str
    called: str
    seed: int
    seconds: float
    acked: int
    retries: int
    injected: tuple[str, ...]
    write_outage_s: float
    read_outage_s: float
    rest_s: float  # from the last healing until all was as before
    changes: int  # that watchers were told
    faults: tuple[str, ...]  # what is not as it must be


class Play:
    """One scenario with one seed."""

    def __init__(self, world: World, scenario: Scenario, seed: int, say: Say) -> None:
        self._world = world
        self._scenario = scenario
        self._seed = seed
        self._say = say
        self._load = Load(
            world.url, scenario.workload, seed, world.fresh_prefix(f"{seed}-{scenario.name}"), PARTITIONS
        )
        self._injected: list[str] = []
        self._faults: list[str] = []

    async def run(self) -> Outcome:
        """Play it and return what came of it; the world is at rest again, or a fault says that it is not."""
        began_s = time.monotonic()
        rest_s = 0.0
        try:
            chosen = moments(self._scenario.faults, self._chance("moments"))
            planned = [(moment, fault_of(moment.fault)) for moment in chosen]
            await self._prepare(fault for _, fault in planned)
            self._load.start()
            await self._begun()
            await self._meanwhile(planned)
            healed_s = time.monotonic()
            await self._world.rest(self._scenario.check.rest_s)
            rest_s = time.monotonic() - healed_s
            self._faults += await self._gone_on()
            await asyncio.to_thread(self._load.finish)
            await self._judge(rest_s)
            await asyncio.to_thread(self._load.leave)
        except FluxError as error:
            self._faults.append(error.message)
        finally:
            self._load.abandon()
        return self._outcome(time.monotonic() - began_s, rest_s)

    async def _begun(self) -> None:
        """Return when each client has done something.

        Raises:
            Unavailable: one does nothing.
        """
        await until(lambda: self._load.acked > _BEGUN, _BEGIN_S, "the load to begin")
        clients = self._load.activity(of_watchers=True)
        if idle := await self._idle(dict.fromkeys(clients, 0), _BEGIN_S):
            raise Unavailable(
                f"within {_BEGIN_S:.0f} s nothing was answered or told to the {', the '.join(idle)}"
            )

    async def _gone_on(self) -> list[str]:
        """Return what is to be said of clients that do nothing any more; what watchers know tells of them."""
        idle = await self._idle(self._load.activity(of_watchers=False), _ACT_S)
        return [f"the {name} was answered nothing any more after all was healed" for name in idle]

    async def _idle(self, since: Mapping[str, int], timeout_s: float) -> list[str]:
        """Return who has done nothing more than they had; all have `timeout_s` for it."""
        with suppress(Unavailable):
            await until(lambda: not self._load.idle(since), timeout_s, "each client to go on")
        return self._load.idle(since)

    async def _prepare(self, faults: Iterable[Fault]) -> None:
        for fault in faults:
            if isinstance(fault, Prepared):
                await fault.prepare(self._world)

    async def _meanwhile(self, planned: Iterable[tuple[Moment, Fault]]) -> None:
        """Inject and heal everything at its time, and let the load go on for as long as it should."""
        began_s = time.monotonic()
        playing = [self._one(number, *one, began_s) for number, one in enumerate(planned)]
        done = await asyncio.gather(
            *playing, asyncio.sleep(self._scenario.workload.seconds), return_exceptions=True
        )
        for error in done:
            if isinstance(error, FluxError):
                self._faults.append(error.message)
            elif isinstance(error, BaseException):
                raise error

    async def _one(self, number: int, moment: Moment, fault: Fault, began_s: float) -> None:
        await asyncio.sleep(moment.at_s - (time.monotonic() - began_s))
        try:
            whom = await fault.inject(self._world, self._chance(str(number)))
            told = f"{moment.fault.what}: {whom}"
            self._injected.append(told)
            self._say(f"{moment.at_s:5.1f} s  {told}")
            await asyncio.sleep(moment.for_s)
        except Exception:  # whoever cancels ends the world as it is: healing it would take a minute
            await fault.heal(self._world)
            raise
        await fault.heal(self._world)
        if moment.for_s:
            self._say(f"{time.monotonic() - began_s:5.1f} s  {moment.fault.what}: healed")

    async def _judge(self, rest_s: float) -> None:
        doors = len(self._world.ray.nodes)
        self._faults += await asyncio.to_thread(lambda: list(faults_of(self._load, doors)))
        check = self._scenario.check
        outages = self._load.outage_s(writes=True), self._load.outage_s(writes=False)
        self._faults += outage_faults(check, *outages, rest_s)
        if check.verify:
            code, words = await self._world.run("flux_actors", "verify")
            if code != 0:
                self._faults.append(f"flux verify: {words.strip()}")

    def _outcome(self, seconds: float, rest_s: float) -> Outcome:
        load = self._load
        return Outcome(
            scenario=self._scenario.name,
            called=self._scenario.called,
            seed=self._seed,
            seconds=round(seconds, 1),
            acked=load.acked,
            retries=sum(one.retries for one in load.writers),
            injected=tuple(self._injected),
            write_outage_s=round(load.outage_s(writes=True), 2),
            read_outage_s=round(load.outage_s(writes=False), 2),
            rest_s=round(rest_s, 1),
            changes=sum(one.changes for one in load.onlookers),
            faults=tuple(self._faults),
        )

    def _chance(self, what: str) -> random.Random:
        return random.Random(f"{self._seed}-{self._scenario.name}-{what}")
