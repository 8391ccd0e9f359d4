"""All connectors of one namespace: follows the configuration, a polling with a task of its own for each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final, NamedTuple, Protocol

import structlog

from flux_actors import limits
from flux_actors.connectors.base import Connector, Web
from flux_actors.connectors.catalogue import Catalogue
from flux_actors.connectors.generic import source_of
from flux_actors.connectors.polling import Account, Clock, Parts, PollCounts, Polling, Writer, sentence
from flux_actors.connectors.records import GENERIC, Configured, ConnectorStore, Key, Memory, Status
from flux_actors.connectors.vault import NamespaceVault
from flux_actors.errors import Corrupt, FluxError, Refused
from flux_actors.metering import table
from flux_actors.metering.samples import Sample

_log = structlog.get_logger(__name__)
_END_S: Final = 5.0


class ClosableWeb(Web, Protocol):
    """A `Web` that holds connections."""

    async def close(self) -> None:
        """Close them."""
        ...


class Kit(NamedTuple):
    """What pollings are made of."""

    web: Callable[[Connector], ClosableWeb]
    writer: Callable[[str, str, str], Writer]  # of prefix, stream and source
    clock: Clock
    chance: Callable[[], float]
    operator: Mapping[str, str] = {}
    writes_elsewhere: bool = True  # with tokens on, a source writes to its own namespace alone


class _Running(NamedTuple):
    polling: Polling
    web: ClosableWeb
    task: asyncio.Task[None]


class NamespaceConnectors:
    """Runs what is configured."""

    def __init__(
        self, namespace: str, vault: NamespaceVault, store: ConnectorStore, catalogue: Catalogue, kit: Kit
    ) -> None:
        self.namespace = namespace
        self._vault = vault
        self._store = store
        self._catalogue = catalogue
        self._kit = kit
        self._running: dict[Key, _Running] = {}
        self._broken: dict[Key, Status] = {}
        self._turn = asyncio.Lock()
        self._counts: dict[str, PollCounts] = {}  # by the names of connectors

    async def refresh(self) -> None:
        """Begin what was configured, end what no longer is."""
        async with self._turn:
            wanted = (await self._store.record(self.namespace)).connectors
            known = {
                key: None if run.task.done() else run.polling.memory.revision
                for key, run in self._running.items()
            }
            known |= {key: status.revision for key, status in self._broken.items()}
            for key in [key for key, revision in known.items() if _revision(wanted, key) != revision]:
                await self._end(key)
            for key, configured in wanted.items():
                if key not in self._running and key not in self._broken:
                    await self._begin(key, configured)

    async def follow(self) -> None:
        """Refresh for ever."""
        while True:
            try:
                await self.refresh()
            except FluxError as error:
                _log.warning("connectors.unread", namespace=self.namespace, reason=error.message)
            await self._kit.clock.sleep(limits.connector_look_s)

    def status(self) -> dict[Key, Status]:
        """Return how each connector is."""
        running = {key: _status(run.polling) for key, run in self._running.items()}
        return running | self._broken

    def samples(self) -> Iterator[Sample]:
        """Yield what there is to tell now, by connector; whose they are is not told."""
        states = [(key.partition("/")[0], status.failing) for key, status in self.status().items()]
        for name in sorted({name for name, _ in states} | self._counts.keys()):
            counts = self._counts.get(name, PollCounts())
            yield table.CONFIGURED.of(sum(known == name for known, _ in states), name)
            yield table.FAILING.of(sum(known == name and failing for known, failing in states), name)
            yield table.POLLS.of(counts.polls, name)
            yield table.POLL_FAILURES.of(counts.failures, name)
            yield table.WRITTEN.of(counts.written, name)

    async def close(self) -> None:
        """End all, and have what they know kept."""
        async with self._turn:
            pollings = [run.polling for run in self._running.values()]
            for key in [*self._running, *self._broken]:
                await self._end(key)
            for polling in pollings:
                with suppress(FluxError):
                    await polling.save()

    async def _begin(self, key: Key, configured: Configured) -> None:
        name = key.partition("/")[0]
        memory = StoredMemory(self._store, self.namespace, key)
        try:
            connector = self._catalogue.connector(name)
            token = "" if configured.sealed is None else self._vault.open(key, configured.sealed)
            writer = self._kit.writer(self._prefix(name, configured), name, f"connector/{key}")
            account = Account(f"{self.namespace}/{key}", configured.revision, configured.settings, token)
            web = self._kit.web(connector)
            counts = self._counts.setdefault(name, PollCounts())
            parts = Parts(web, writer, memory, self._kit.clock, self._kit.chance, self._kit.operator, counts)
            polling = Polling(connector, account, parts)
        except Exception as error:  # noqa: BLE001 - one that cannot begin must not hold up the others
            await self._tell_broken(key, configured, memory, sentence(error))
            return
        task = asyncio.create_task(polling.run(), name=account.name)
        task.add_done_callback(_tell_fault)
        self._running[key] = _Running(polling, web, task)
        _log.info("connector.begins", connector=account.name)

    def _prefix(self, name: str, configured: Configured) -> str:
        if name != GENERIC:
            return f"{self.namespace}/{name}/"
        namespace = source_of(configured.settings).namespace
        if namespace != self.namespace and not self._kit.writes_elsewhere:
            raise Corrupt(f"with tokens on, this source cannot write to the namespace {namespace!r}")
        return f"{namespace}/"

    async def _end(self, key: Key) -> None:
        self._broken.pop(key, None)
        run = self._running.pop(key, None)
        if run is not None:
            run.task.cancel()
            await asyncio.wait([run.task], timeout=_END_S)  # code of others may not let itself be cancelled
            await run.web.close()
            _log.info("connector.ends", connector=f"{self.namespace}/{key}")

    async def _tell_broken(self, key: Key, configured: Configured, memory: StoredMemory, text: str) -> None:
        _log.warning("connector.broken", connector=f"{self.namespace}/{key}", reason=text)
        self._broken[key] = Status(configured.revision, None, text, failing=True, interval_s=None)
        await memory.save(Memory(configured.revision, last_error=text, failing=True))


class StoredMemory:
    """A `MemoryStore` in the bucket, by compare-and-set: an actor that was replaced may still run."""

    def __init__(self, store: ConnectorStore, namespace: str, key: Key) -> None:
        self._store = store
        self._namespace = namespace
        self._key = key
        self._revision: int | None = None

    async def load(self) -> Memory | None:
        """Return what was remembered last."""
        memory, self._revision = await self._store.memory(self._namespace, self._key)
        return memory

    async def save(self, memory: Memory) -> None:
        """Remember it, unless somebody else did so or had it forgotten meanwhile: then only the next time."""
        if self._revision is None:
            await self.load()
        try:
            self._revision = await self._store.remember(
                self._namespace, self._key, memory, self._revision or 0
            )
        except Refused:
            _log.warning("connector.overtaken", connector=f"{self._namespace}/{self._key}")
            self._revision = None


def _revision(wanted: Mapping[Key, Configured], key: Key) -> str | None:
    return wanted[key].revision if key in wanted else None


def _status(polling: Polling) -> Status:
    memory = polling.memory
    return Status(memory.revision, memory.last_poll_ms, memory.last_error, memory.failing, polling.interval_s)


def _tell_fault(task: asyncio.Task[None]) -> None:
    if not task.cancelled() and task.exception() is not None:
        _log.error("connector.ended", connector=task.get_name(), error=type(task.exception()).__name__)
