"""The actors of namespaces, and their keeper, as Ray actors."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final

import ray
import structlog
from ray.exceptions import RayActorError, RayError, RayTaskError

from flux_actors.connectors.actor import NamespacePlan, RemoteConnectors, WallClock
from flux_actors.connectors.keeper import Keeper
from flux_actors.connectors.names import KEEPER_NAME, actor_name
from flux_actors.connectors.records import BUCKET, ConnectorStore
from flux_actors.connectors.resealing import reseal
from flux_actors.connectors.vault import Vault
from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.telling import tell
from flux_actors.logs import set_up_logs
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.settings import Settings

_log = structlog.get_logger(__name__)
_START_S: Final = 30.0
_CALL_S: Final = 2.0
_DRAIN_S: Final = 8.0
_RETRY_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class ConnectorsPlan:
    """What an operator set for connectors."""

    keys: tuple[bytes, ...] = field(repr=False)
    allow_private: bool
    github_url: str
    log_replicas: int
    auth_enabled: bool

    @classmethod
    def of_settings(cls, settings: Settings) -> ConnectorsPlan:
        """Return what the settings say."""
        return cls(
            settings.encryption_keys,
            settings.connectors_allow_private,
            settings.github_url,
            settings.log_replicas,
            settings.auth_enabled,
        )

    def of(self, namespace: str) -> NamespacePlan:
        """Return what the actor of one namespace may know."""
        keys = Vault(self.keys).keys_of(namespace)
        return NamespacePlan(
            *(namespace, keys, self.allow_private, self.github_url, self.log_replicas, self.auth_enabled)
        )


class RayConnectors:
    """A `ConnectorsHost` of named, detached Ray actors."""

    def __init__(self, access: NatsAccess, plan_of: Callable[[str], NamespacePlan]) -> None:
        self._access = access
        self._plan_of = plan_of
        self._handles: dict[str, Any] = {}

    async def start(self, namespace: str) -> None:
        """Create the actor, unless it is there, and have it open."""
        self._handles[namespace] = RemoteConnectors.options(
            name=actor_name(namespace),
            namespace=RAY_NAMESPACE,
            lifetime="detached",
            num_cpus=0,
            scheduling_strategy="SPREAD",  # each is a process: no node is to have them all
            max_restarts=0,  # the keeper starts it again, with a wait
            get_if_exists=True,
        ).remote()
        try:
            await self._call(namespace, "open", _START_S, self._access, self._plan_of(namespace))
        except (RayError, FluxError, TimeoutError, ValueError) as error:
            await self.kill(namespace)
            cause = error.cause if isinstance(error, RayTaskError) else error
            reason = cause.message if isinstance(cause, FluxError) else type(cause).__name__
            raise Unavailable(f"the actor did not open ({reason})") from None

    async def lives(self, namespace: str) -> bool | None:
        """Whether it answers."""
        try:
            await self._call(namespace, "pid", _CALL_S)
        except (RayActorError, ValueError):
            return False
        except (RayError, FluxError, TimeoutError):
            return None
        return True

    async def refresh(self, namespace: str) -> None:
        """Tell it; one that does not hear looks by itself."""
        with suppress(RayError, FluxError, TimeoutError, ValueError):
            await self._call(namespace, "refresh", _CALL_S)

    async def end(self, namespace: str) -> None:
        """Drain and kill."""
        with suppress(RayError, FluxError, TimeoutError, ValueError):
            await self._call(namespace, "drain", _DRAIN_S)
        await self.kill(namespace)

    async def kill(self, namespace: str) -> None:
        """End its process; a dead one stays dead."""
        with suppress(RayError, ValueError):
            ray.kill(self._handle(namespace), no_restart=True)
        self._handles.pop(namespace, None)

    async def _call(self, namespace: str, method: str, timeout_s: float, *arguments: Any) -> Any:
        reference = getattr(self._handle(namespace), method).remote(*arguments)
        return await asyncio.wait_for(reference, timeout_s)

    def _handle(self, namespace: str) -> Any:
        if namespace not in self._handles:
            self._handles[namespace] = ray.get_actor(actor_name(namespace), namespace=RAY_NAMESPACE)
        return self._handles[namespace]


class KeeperProcess:
    """The Ray shell of the keeper."""

    def __init__(self, access: NatsAccess, plan: ConnectorsPlan) -> None:
        set_up_logs()
        self._access = access
        self._plan = plan
        self._keeper: Keeper | None = None
        # Ray runs the constructor on the actor's loop; after a restart nobody else would call `open`.
        self._opening = asyncio.get_running_loop().create_task(self._open_when_possible())

    async def changed(self, namespace: str) -> None:
        """Do what a changed configuration asks for."""
        await asyncio.shield(self._opening)
        if self._keeper is not None:
            await self._keeper.changed(namespace)

    async def namespaces(self) -> list[str]:
        """Return the namespaces that it keeps."""
        await asyncio.shield(self._opening)
        return self._keeper.namespaces if self._keeper is not None else []

    async def drain(self) -> None:
        """End all actors gently."""
        self._opening.cancel()
        if self._keeper is not None:
            self._watching.cancel()
            await self._keeper.drain()

    async def _open_when_possible(self) -> None:
        while self._keeper is None:
            try:
                await self._open()
            except FluxError as error:
                _log.warning("keeper.waits", reason=error.message)
                await asyncio.sleep(_RETRY_S)

    async def _open(self) -> None:
        client = await connect(self._access, "flux-keeper")
        store = ConnectorStore(await JetStreamKeyValue.open(client, BUCKET, self._plan.log_replicas))
        await _reseal_all(store, Vault(self._plan.keys))
        host = RayConnectors(self._access, self._plan.of)
        self._keeper = Keeper(store, host, WallClock(), random.random)
        self._watching = asyncio.create_task(self._keeper.watch())
        self._telling = await tell(client, "keeper", self._keeper.samples, site=self._access.site)


async def _reseal_all(store: ConnectorStore, vault: Vault) -> None:
    for namespace in await store.namespaces():
        count = await reseal(store, namespace, vault.of(namespace))
        if count:
            _log.info("vault.resealed", namespace=namespace, credentials=count)


# Another name than the class: Ray then pickles the class by reference, not with its module's globals.
RemoteKeeper = ray.remote(KeeperProcess)


def keeper(access: NatsAccess, plan: ConnectorsPlan) -> Any:
    """Return this Flux's keeper, started if there is none yet."""
    return RemoteKeeper.options(
        name=KEEPER_NAME,
        namespace=RAY_NAMESPACE,
        lifetime="detached",
        num_cpus=0,
        max_restarts=-1,
        get_if_exists=True,
    ).remote(access, plan)


async def any_configured(access: NatsAccess, log_replicas: int) -> bool:
    """Whether there is anything to keep."""
    client = await connect(access, "flux-launcher")
    try:
        store = ConnectorStore(await JetStreamKeyValue.open(client, BUCKET, log_replicas))
        records = [await store.record(namespace) for namespace in await store.namespaces()]
        return any(record.connectors for record in records)
    finally:
        await client.close()
