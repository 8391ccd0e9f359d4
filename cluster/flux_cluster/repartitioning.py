"""Repartitioning a whole Flux, running or stopped: which log, which copy, and what earlier runs have left."""

from __future__ import annotations

import asyncio
import gc
import secrets
import time
import uuid
from collections.abc import Sequence
from functools import partial
from typing import Final, NamedTuple

from nats.aio.client import Client

from flux_actors import limits
from flux_actors.behaviour.code_store import JetStreamCodeStore
from flux_actors.behaviour.reducer_code import ReducerCode
from flux_actors.behaviour.reducing import ReducerProcess
from flux_actors.errors import Corrupt, Refused
from flux_actors.log.bus import NatsBus
from flux_actors.log.closing import JetStreamGenerations
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.generations import generation_behind
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.ports import KeyValue
from flux_actors.log.rebuilding import JetStreamRebuilder
from flux_actors.past.teller import BOUNDS
from flux_actors.repartition.awaiting import is_served
from flux_actors.repartition.comparing import compare_entities
from flux_actors.repartition.copying import Copier, Hand, Next, Present
from flux_actors.repartition.pasts import Pasts
from flux_actors.repartition.recutting import Disordered
from flux_actors.repartition.switching import Switch, Switched
from flux_actors.reporting import Reporter, Say
from flux_actors.router.succession import Claim, claim, end_switch
from flux_actors.router.topology import (
    LOG_KEY,
    REGISTRY_BUCKET,
    RESTORING_KEY,
    SWITCHING_KEY,
    TENANCY_BUCKET,
    TOPOLOGY_BUCKET,
    LogRegistry,
)
from flux_actors.settings import Settings
from flux_actors.snapshot.opening import open_store
from flux_actors.snapshot.store import SnapshotStore
from flux_actors.tenancy.following import Follower
from flux_actors.tenancy.registry import Registry
from flux_cluster.data_folder import DataFolder
from flux_cluster.reaching import reached

_NAME: Final = "flux-repartition"
_TRIES: Final = 3
_NOT_FOUND: Final = 404


class Repartitioned(NamedTuple):
    """What was done."""

    before: LogRegistry
    after: LogRegistry
    events: int
    blocks: int  # of the new log
    set_aside: int  # events that could not be read, and are not in it
    copied_s: float
    closed_s: float  # for so long the log took no writes
    removed: int  # partitions of earlier logs that were removed


def repartition(
    settings: Settings, partitions: int | None, spread: Sequence[str] | None, *, keep_old: bool, say: Say
) -> Repartitioned:
    """Give a log more partitions, and spread namespaces over all of them; `None` leaves it as it is.

    Raises:
        Refused: there is no such log, it is so already, or it was trimmed.
        Unavailable: it could not be done now; the log goes on as it was.
        Disagreeing: the copy would say something else than the log, which goes on as it was.
    """
    with reached(settings) as access:
        return asyncio.run(_run(access, settings, partitions, spread, say, keep_old=keep_old))


def forget_earlier(settings: Settings) -> int:
    """Remove the logs before the one that is in force, and return how many partitions that were."""
    with reached(settings) as access:
        return asyncio.run(_forget(access, settings))


async def _run(
    access: NatsAccess,
    settings: Settings,
    partitions: int | None,
    spread: Sequence[str] | None,
    say: Say,
    *,
    keep_old: bool,
) -> Repartitioned:
    client = await connect(access, _NAME)
    reducers = ReducerProcess(BOUNDS)
    gc.disable()  # millions of young objects that all stay until the end: nothing to find
    try:
        code = ReducerCode(reducers, await JetStreamCodeStore.open(client, settings.log_replicas))
        store = await JetStreamKeyValue.open(client, REGISTRY_BUCKET, settings.log_replicas)
        run = _Run(client, settings, store, code, Reporter(say))
        done = await run.until_done(partitions, spread)
        if keep_old:
            return done
        if not await run.is_served(done.after):
            run.say("shards do not serve the new log yet, so the one before it is not removed")
            return done
        return done._replace(removed=await run.remove_earlier(done.before, done.after))
    finally:
        gc.enable()
        reducers.close()
        await client.close()


class _Run:
    """Everything that is needed for it."""

    def __init__(
        self, client: Client, settings: Settings, store: KeyValue, code: ReducerCode, report: Reporter
    ) -> None:
        self.generations = JetStreamGenerations(client)
        self._client = client
        self._settings = settings
        self._store = store
        self._code = code
        self._report = report
        self.say = report.say

    async def until_done(self, partitions: int | None, spread: Sequence[str] | None) -> Repartitioned:
        """Copy and switch, and try again when a block came too late for its place."""
        for _ in range(_TRIES - 1):
            try:
                return await self.once(partitions, spread)
            except Disordered as error:
                self.say(error.message)
        return await self.once(partitions, spread)

    async def once(self, partitions: int | None, spread: Sequence[str] | None) -> Repartitioned:
        """Copy and switch; what others have begun to make comes to nothing."""
        claimed = await self._claim()
        before = claimed.registry
        after = await self._wanted(before, partitions, spread)
        await self.generations.remove_unfinished(before.generation, claimed.renew)
        await claimed.renew()
        copier = self._copier(before, after, await self._pasts(before))
        began = time.monotonic()
        try:
            await copier.begin()
            switched, copied_s = await self._copy(copier, claimed, began)
        finally:
            await copier.close()
        recutter = copier.recutter
        return Repartitioned(
            before,
            switched.after,
            copier.events,
            copier.blocks,
            recutter.set_aside,
            copied_s,
            switched.closed_s,
            removed=0,
        )

    async def is_served(self, after: LogRegistry) -> bool:
        """Return whether every Flux that runs on the log serves the new one; in time, or not."""
        if not _may_run(self._settings):
            return True
        topologies = await JetStreamKeyValue.open(self._client, TOPOLOGY_BUCKET, self._settings.log_replicas)
        return await is_served(topologies, partial(NatsBus, self._client), after)

    async def remove_earlier(self, before: LogRegistry, after: LogRegistry) -> int:
        """Remove the logs before the one that is in force, and the snapshots of the last of them."""
        await _check_there(self._client, after)
        _remove_snapshots(open_store(self._settings.snapshot_place, before.generation), before.partitions)
        return await self.generations.remove_earlier(after.generation)

    async def _copy(self, copier: Copier, claimed: Claim, began: float) -> tuple[Switched, float]:
        say, before = self.say, claimed.registry
        await copier.catch_up()
        say(f"{copier.events} events copied; comparing {len(copier.recutter.touched)} entities")
        compare_entities(copier.recutter)
        await copier.keep_snapshots()
        await copier.catch_up()
        copied_s = time.monotonic() - began
        say("switching")
        switch = Switch(copier, self.generations, self._store, claimed, partial(self._pasts, before))
        return await switch.carry_through(), copied_s

    async def _pasts(self, registry: LogRegistry) -> Pasts:
        """Return where the past of namespaces' earlier owners ends in the log."""
        tenants = Registry()
        tenants.in_this_log = registry.past_of
        bucket = await JetStreamKeyValue.open(self._client, TENANCY_BUCKET, self._settings.log_replicas)
        await Follower(bucket, tenants, lambda: None).read()
        return {one.name: tenants.past_of(one.name) for one in tenants.all()}

    def _copier(self, before: LogRegistry, after: LogRegistry, pasts: Pasts) -> Copier:
        client, settings = self._client, self._settings
        snapshots = open_store(settings.snapshot_place, after.generation)
        _remove_snapshots(snapshots, after.partitions)  # of a run that was not finished
        rebuilder = JetStreamRebuilder(client, settings.log_replicas, after.generation)
        return Copier(
            Present(before, JetStreamLog(client, before.generation)),
            Next(after, rebuilder, snapshots),
            self._code,
            settings.history_positions,
            Hand(secrets.randbits(63), _now_us),
            self._report,
            pasts,
        )

    async def _claim(self) -> Claim:
        """Claim the registry, by which no other run comes to its end; end a switch that was left."""
        if await self._store.get(RESTORING_KEY) is not None:
            raise Refused("a restore of this log was not finished; begin it again with `flux restore`")
        if await self._store.get(SWITCHING_KEY) is not None:
            await end_switch(self._store, self.generations)
        return await _claimed(self._store)

    async def _wanted(
        self, before: LogRegistry, partitions: int | None, spread: Sequence[str] | None
    ) -> LogRegistry:
        """Return what the registry is to say."""
        wanted = before.partitions if partitions is None else partitions
        names = before.spread if spread is None else sorted({_namespace(name) for name in spread})
        if wanted < before.partitions:
            raise Refused(f"this log has {before.partitions} partitions; it can be given more, not fewer")
        if wanted > limits.partitions_max:
            raise Refused(f"a log has at most {limits.partitions_max} partitions")
        if (wanted, names) == (before.partitions, before.spread):
            raise Refused("this log is so already; name more --partitions, or others to --spread")
        log = JetStreamLog(self._client, before.generation)
        lasts = [(await log.bounds(partition)).last for partition in range(before.partitions)]
        generation = generation_behind(before.generation, max(lasts))
        return LogRegistry(uuid.uuid4().hex, wanted, names, generation)


async def _forget(access: NatsAccess, settings: Settings) -> int:
    client = await connect(access, _NAME)
    try:
        store = await JetStreamKeyValue.open(client, REGISTRY_BUCKET, settings.log_replicas)
        claimed = await _claimed(store)
        await _check_there(client, claimed.registry)
        generations, generation = JetStreamGenerations(client), claimed.registry.generation
        unfinished = await generations.remove_unfinished(generation, claimed.renew)
        return unfinished + await generations.remove_earlier(generation)
    finally:
        await client.close()


async def _claimed(store: KeyValue) -> Claim:
    if await store.get(LOG_KEY) is None:
        raise Refused("there is no log there yet; start Flux once", _NOT_FOUND)
    return await claim(store)


async def _check_there(client: Client, registry: LogRegistry) -> None:
    """See that the log is there before others are removed; raises `Corrupt`."""
    log = JetStreamLog(client, registry.generation)
    for partition in range(registry.partitions):
        if (await log.bounds(partition)).log_id != registry.log_id:
            raise Corrupt(f"partition {partition} is none of the log that is registered; nothing was removed")


def _may_run(settings: Settings) -> bool:
    """Whether a Flux may run on the log: on that of somebody else's NATS one may, wherever it is."""
    run = DataFolder(settings.data).run()
    return settings.nats_url is not None or (run is not None and run.ready)


def _remove_snapshots(store: SnapshotStore, partitions: int) -> None:
    for partition in range(partitions):
        for sequence in store.sequences(partition):
            store.delete(partition, sequence)
        store.sweep(partition)


def _namespace(name: str) -> str:
    if not name or "/" in name:
        raise Refused(f"{name!r} is no namespace; name some as in --spread sensors,home")
    return name


def _now_us() -> int:
    return time.time_ns() // 1_000
