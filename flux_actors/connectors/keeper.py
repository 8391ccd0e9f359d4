"""The keeper: sees to it that every namespace with connectors has a living actor, and no other has one.

An actor that died is started again after a wait that doubles, spread by chance; one that lived long begins
again with the shortest. One that does not answer several times in a row is ended and counts as dead.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

import structlog

from flux_actors import limits
from flux_actors.connectors.backoff import Backoff
from flux_actors.connectors.polling import Clock
from flux_actors.connectors.records import ConnectorStore
from flux_actors.errors import FluxError, Unavailable
from flux_actors.metering import table
from flux_actors.metering.samples import Sample

_log = structlog.get_logger(__name__)


class ConnectorsHost(Protocol):
    """Starts, asks and ends the actors of namespaces."""

    async def start(self, namespace: str) -> None:
        """Start the actor, or take over the one that lives; raises `Unavailable` when it does not open."""
        ...

    async def lives(self, namespace: str) -> bool | None:
        """Whether it answers; `None` when it does not say, though it may live."""
        ...

    async def refresh(self, namespace: str) -> None:
        """Have it look at its configuration."""
        ...

    async def end(self, namespace: str) -> None:
        """Have it keep what it knows, then end its process."""
        ...

    async def kill(self, namespace: str) -> None:
        """End its process."""
        ...


@dataclass(slots=True)
class _Kept:
    starting: bool = False
    failures: int = 0
    silences: int = 0
    not_before_s: float = 0.0
    started_s: float | None = None


class Keeper:
    """Keeps the actors."""

    def __init__(
        self, store: ConnectorStore, host: ConnectorsHost, clock: Clock, chance: Callable[[], float]
    ) -> None:
        self._store = store
        self._host = host
        self._clock = clock
        self._backoff = Backoff(*limits.keeper_restart_s_range, chance)
        self._kept: dict[str, _Kept] = {}
        self._listed_s = float("-inf")
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self.failures = 0  # actors that died or did not start

    @property
    def running(self) -> int:
        """How many actors run."""
        return sum(kept.started_s is not None for kept in self._kept.values())

    @property
    def namespaces(self) -> list[str]:
        """The namespaces that have an actor, or are owed one."""
        return sorted(self._kept)

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to tell now."""
        yield table.KEPT.of(len(self._kept))
        yield table.KEPT_RUNNING.of(self.running)
        yield table.KEPT_FAILURES.of(self.failures)

    async def watch(self) -> None:
        """Look after the actors for ever."""
        while not self._closing:
            try:
                await self.look()
            except FluxError as error:
                _log.warning("keeper.waits", reason=error.message)
            await self._clock.sleep(limits.keeper_look_s)

    async def look(self) -> None:
        """Look once: at the namespaces when it is time, and at every actor."""
        if self._clock.now_s() >= self._listed_s + limits.keeper_list_s:
            for namespace in {*await self._store.namespaces(), *self._kept}:
                await self._want(namespace)
            self._listed_s = self._clock.now_s()
        await asyncio.gather(*(self._look_at(*kept) for kept in list(self._kept.items())))

    async def changed(self, namespace: str) -> None:
        """Do what a changed configuration asks for, now."""
        await self._want(namespace)
        kept = self._kept.get(namespace)
        if kept is None:
            return
        if kept.started_s is None:
            await self._look_at(namespace, kept)
        else:
            await self._host.refresh(namespace)

    async def drain(self) -> None:
        """End all actors gently."""
        self._closing = True
        await asyncio.gather(*(self._host.end(namespace) for namespace in self._kept))

    async def _want(self, namespace: str) -> None:
        wanted = bool((await self._store.record(namespace)).connectors)
        if wanted:
            self._kept.setdefault(namespace, _Kept())
        elif namespace in self._kept:
            del self._kept[namespace]
            await self._host.end(namespace)

    async def _look_at(self, namespace: str, kept: _Kept) -> None:
        now_s = self._clock.now_s()
        if kept.starting:
            return  # a process takes a second to start, and many where the machine is busy
        if kept.started_s is None:
            if now_s >= kept.not_before_s and not self._closing:
                kept.starting = True
                task = asyncio.create_task(self._start(namespace, kept))  # it holds up nobody else
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            return
        lives = await self._host.lives(namespace)
        if lives:
            kept.silences = 0
            if now_s >= kept.started_s + limits.keeper_healthy_s:
                kept.failures = 0
            return
        kept.silences += 1
        if lives is False or kept.silences >= limits.keeper_silences_max:
            _log.warning("connectors.gone", namespace=namespace, silent=lives is None)
            await self._host.kill(namespace)
            self._put_off(kept)

    async def _start(self, namespace: str, kept: _Kept) -> None:
        try:
            await self._host.start(namespace)
        except Unavailable as error:
            _log.warning("connectors.start_failed", namespace=namespace, reason=error.message)
            self._put_off(kept)
        else:
            kept.started_s = self._clock.now_s()
            _log.info("connectors.started", namespace=namespace)
        finally:
            kept.starting = False
        if self._kept.get(namespace) is not kept:
            await self._host.end(namespace)  # nobody wants it any more

    def _put_off(self, kept: _Kept) -> None:
        kept.failures += 1
        self.failures += 1
        kept.silences, kept.started_s = 0, None
        kept.not_before_s = self._clock.now_s() + self._backoff.wait_s(kept.failures)
