"""What a door knows of connectors: how they are, and how they are configured.

How a connector is, its actor says; where that is away, what it last had kept counts. What configures one
needs ciphers and an HTTP client, 12 MB that a door loads only when somebody does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, cast

import ray
import structlog
from ray.exceptions import RayError

from flux_actors import limits
from flux_actors.connectors.catalogue import Catalogue
from flux_actors.connectors.names import KEEPER_NAME, actor_name
from flux_actors.connectors.records import GENERIC, Configured, ConnectorStore, Key, NamespaceRecord, Status
from flux_actors.domain.clock import iso_of
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.settings import Settings
from flux_api.audit import Audit

if TYPE_CHECKING:
    from flux_api.connector_changes import ConnectorChanges

_log = structlog.get_logger(__name__)
_STATUS_S: Final = 1.0
_TELL_S: Final = 60.0
_END_S: Final = 20.0
_TELL_TRIES: Final = 10
_TELL_AGAIN_S: Final = 1.0


class ConnectorActors(Protocol):
    """The way to the actors."""

    async def status(self, namespace: str) -> dict[Key, Status] | None:
        """Return how a namespace's connectors are; `None` when nobody says so now."""
        ...

    def changed(self, namespace: str) -> None:
        """Have a changed configuration taken up soon."""
        ...

    async def told(self, namespace: str) -> None:
        """Have it taken up before this returns, if that can be in a while."""
        ...

    async def kept(self) -> bool:
        """Whether there is a keeper."""
        ...

    async def close(self) -> None:
        """Tell nobody any more."""
        ...


class Owner(NamedTuple):
    """Whose connectors a client configures, and what those may write."""

    namespace: str
    prefix: str = ""  # with which all that is written must begin
    writes_elsewhere: bool = True  # whether a source may name another namespace: with tokens off
    who: str = "anyone"  # in words that an audit record may hold
    shown: Mapping[str, Any] = {}  # what a record may tell of the namespace


class DoorConnectors:
    """The connectors of all namespaces, as a door sees them."""

    def __init__(
        self, store: ConnectorStore, catalogue: Catalogue, actors: ConnectorActors, settings: Settings
    ) -> None:
        self.store = store
        self.catalogue = catalogue
        self.actors = actors
        self.settings = settings
        self._looking: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """See to it from now on that somebody keeps what is configured."""
        self._looking = asyncio.get_running_loop().create_task(self._look_for_ever())

    async def look(self) -> None:
        """Have a keeper started where there is none: the door that was to start it may have died first."""
        if await self.actors.kept():
            return
        for namespace in await self.store.namespaces():
            if (await self.store.record(namespace)).connectors:
                await self.actors.told(namespace)
                return

    async def listed(self, namespace: str | None) -> list[dict[str, Any]]:
        """Return name, enabled and status of each."""
        record = await self._record(namespace)
        told = await self._told(namespace, record, self.catalogue.names)
        return [_row(name, record.connectors.get(name), told.get(name)) for name in self.catalogue.names]

    async def detail(self, namespace: str | None, name: str) -> dict[str, Any]:
        """Return what is known of one.

        Raises:
            Refused: 404, there is none of this name.
        """
        self.check_name(name)
        record = await self._record(namespace)
        status = (await self._told(namespace, record, [name])).get(name)
        row = _row(name, record.connectors.get(name), status)
        interval_s = status.interval_s if status is not None else None
        if row["enabled"] and interval_s is None and self.catalogue.is_built_in(name):
            interval_s = self.catalogue.connector(name).interval_s
        return row | _facts(status) | {"poll_interval_seconds": _whole(interval_s)}

    async def sources(self, namespace: str | None) -> list[dict[str, Any]]:
        """Return the generic sources, without what may be secret of them."""
        record = await self._record(namespace)
        keys = [key for key in record.connectors if key.startswith(f"{GENERIC}/")]
        told = await self._told(namespace, record, keys)
        return [_source(key, record.connectors[key], told.get(key)) for key in keys]

    async def changes(self, audit: Audit) -> ConnectorChanges:
        """Return what changes the configuration, loaded beside the event loop."""
        module: Any = await asyncio.to_thread(import_module, "flux_api.connector_changes")
        return cast("ConnectorChanges", module.ConnectorChanges(self, audit))

    def check_name(self, name: str) -> None:
        """Raise `Refused` (404) for a name that no connector has."""
        if name not in self.catalogue.names:
            names = ", ".join(self.catalogue.names)
            raise Refused(f"there is no such connector; the names are {names}", 404)

    async def close(self) -> None:
        """Let go of the actors."""
        if self._looking is not None:
            self._looking.cancel()
        await self.actors.close()

    async def end(self, namespace: str) -> None:
        """Forget all of a namespace, and return once nothing of it is polled any more.

        Raises:
            Unavailable: its actor could not be ended in time.
        """
        configured = (await self.store.record(namespace)).connectors
        if not configured and await self.actors.status(namespace) is None:
            return
        await self.store.forget(namespace)
        try:
            await asyncio.wait_for(self.actors.told(namespace), _END_S)
        except TimeoutError:
            raise Unavailable("its connectors could not be ended yet; delete it again in a second") from None

    async def _look_for_ever(self) -> None:
        while True:
            await asyncio.sleep(limits.keeper_missed_s)
            try:
                await self.look()
            except FluxError as error:
                _log.warning("keeper.not_looked_for", reason=error.message)

    async def _record(self, namespace: str | None) -> NamespaceRecord:
        return NamespaceRecord() if namespace is None else await self.store.record(namespace)

    async def _told(
        self, namespace: str | None, record: NamespaceRecord, keys: list[Key]
    ) -> dict[Key, Status]:
        """Return how those of `keys` are that are configured."""
        wanted = {key: record.connectors[key].revision for key in keys if key in record.connectors}
        if namespace is None or not wanted:
            return {}
        live = await self.actors.status(namespace)
        told: dict[Key, Status] = {}
        for key, revision in wanted.items():
            status = (live or {}).get(key) or await self._kept(namespace, key)
            if status is not None and status.revision == revision:
                told[key] = status
        return told

    async def _kept(self, namespace: str, key: Key) -> Status | None:
        memory, _ = await self.store.memory(namespace, key)
        if memory is None:
            return None
        return Status(memory.revision, memory.last_poll_ms, memory.last_error, memory.failing, None)


class RayConnectorActors:
    """`ConnectorActors` through Ray; the keeper is started by the first that needs it."""

    def __init__(self, access: NatsAccess, settings: Settings) -> None:
        self._access = access
        self._settings = settings
        self._handles: dict[str, Any] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def status(self, namespace: str) -> dict[Key, Status] | None:
        """Ask the namespace's actor."""
        try:
            if namespace not in self._handles:
                name = actor_name(namespace)
                self._handles[namespace] = ray.get_actor(name, namespace=RAY_NAMESPACE)
            answer = await asyncio.wait_for(self._handles[namespace].status.remote(), _STATUS_S)
        except (RayError, FluxError, TimeoutError, ValueError):
            self._handles.pop(namespace, None)
            return None
        return {key: Status(*row) for key, row in answer.items()}

    def changed(self, namespace: str) -> None:
        """Tell the keeper, again until it hears; nobody waits for it."""
        task = asyncio.get_running_loop().create_task(self.told(namespace))
        self._telling.add(task)
        task.add_done_callback(self._telling.discard)

    async def kept(self) -> bool:
        """Whether there is a keeper; where Ray does not say, there may be."""
        try:
            await asyncio.to_thread(ray.get_actor, KEEPER_NAME, namespace=RAY_NAMESPACE)
        except ValueError:
            return False
        except RayError:
            return True
        return True

    async def close(self) -> None:
        """Tell nobody any more."""
        for task in self._telling:
            task.cancel()

    async def told(self, namespace: str) -> None:
        """Tell the keeper, again until it hears."""
        for _ in range(_TELL_TRIES):
            try:
                keeper = await asyncio.to_thread(self._keeper)
                await asyncio.wait_for(keeper.changed.remote(namespace), _TELL_S)
                return
            except (RayError, FluxError, TimeoutError, ValueError) as error:
                _log.warning("keeper.not_told", namespace=namespace, reason=type(error).__name__)
                await asyncio.sleep(_TELL_AGAIN_S)

    def _keeper(self) -> Any:
        module: Any = import_module("flux_actors.connectors.ray_connectors")
        return module.keeper(self._access, module.ConnectorsPlan.of_settings(self._settings))


def _row(name: str, configured: Configured | None, status: Status | None) -> dict[str, Any]:
    state = "not_configured" if configured is None else "configured"
    if status is not None and status.failing:
        state = "error"
    return {"name": name, "enabled": configured is not None, "status": state}


def _facts(status: Status | None) -> dict[str, Any]:
    if status is None:
        return {"last_poll": None, "last_error": None}
    polled = iso_of(status.last_poll_ms * 1000) if status.last_poll_ms is not None else None
    return {"last_poll": polled, "last_error": status.last_error}


def _source(key: Key, configured: Configured, status: Status | None) -> dict[str, Any]:
    settings = configured.settings
    return {
        "source_id": key.partition("/")[2],
        "name": settings.get("name"),
        "url": str(settings.get("url")).partition("?")[0],  # a query may hold a key
        "entity_id": f"{settings.get('namespace')}/{settings.get('entity_key')}",
        "poll_interval_seconds": settings.get("poll_interval_secs"),
        **{k: v for k, v in _row(key, configured, status).items() if k != "name"},
        **_facts(status),
    }


def _whole(seconds: float | None) -> int | float | None:
    return int(seconds) if seconds is not None and seconds == int(seconds) else seconds
