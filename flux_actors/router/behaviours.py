"""The router's part in behaviours: admins change what is deployed, every partition hears, all can read it.

Each change is recorded before it is made. What is deployed is shown as entities of the server's own,
`flux-core/behaviours/<name>`; patterns that name a private namespace are left out of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from functools import partial
from typing import Any, Final

from flux_actors.behaviour.deployer import Deployer, DeployRequest
from flux_actors.domain.acting import deploying
from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Version
from flux_actors.domain.acting.deploying import Change
from flux_actors.domain.clock import iso_of
from flux_actors.domain.entity_id import AUDIT_ID, BEHAVIOURS_PREFIX
from flux_actors.errors import Refused, Unavailable
from flux_actors.router.core_events import CoreEvents
from flux_actors.shard.partition import PartitionStatus, Phase
from flux_actors.tenancy.token import is_same

_FORBIDDEN: Final = 403
_ADMIN: Final = "admin token"
_ANYONE: Final = "anyone in the cluster"
_SHARD: Final = "a shard"
_SHOWN: Final = "flux.behaviours"
_AUDITED: Final = "flux.audit"
_NO_CHANGE: Final = "behaviour.unchanged"
Shown = dict[str, dict[str, Any]]  # properties by entity id


class Admins:
    """Who may change what is deployed: whoever has the admin token, if there is one."""

    def __init__(self, token: str | None, *, auth_enabled: bool) -> None:
        self._token = token
        self._needed = auth_enabled or token is not None

    def check(self, token: str | None) -> str:
        """Return who somebody with this token is, in words for the record.

        Raises:
            Refused: 403, it is not the admin token.
        """
        if not self._needed:
            return _ANYONE
        if self._token is None:
            raise Refused(
                "behaviours and shards are the admin's to change, and this Flux has no admin token; "
                "start it with FLUX_ADMIN_TOKEN",
                _FORBIDDEN,
            )
        if token is None or not is_same(token, self._token):
            raise Refused(
                "behaviours and shards are the admin's to change: pass admin_token=…, or set "
                "FLUX_ADMIN_TOKEN; a namespace's token does not do",
                _FORBIDDEN,
            )
        return _ADMIN


class Behaviours:
    """Changes what is deployed, and sees that partitions and entities follow."""

    def __init__(
        self,
        deployer: Deployer,
        events: CoreEvents,
        admins: Admins,
        hidden: AbstractSet[str],
        now_us: Callable[[], int],
    ) -> None:
        self._deployer = deployer
        self._events = events
        self._admins = admins
        self._hidden = hidden
        self._now_us = now_us
        self._shown: Shown | None = None
        self._shown_revision = -1
        self._showing = asyncio.Lock()

    async def deploy(self, request: DeployRequest, admin_token: str | None) -> Version:
        """Deploy, and return the version that it has become.

        Raises:
            Refused: it may not be deployed. Unavailable: it is not known to be, or not everywhere yet.
        """
        who = self._admins.check(admin_token)
        change = request.change(self._now_us())
        change(await self._deployer.catalogue())
        await self._deployer.store_code(request)
        details = {"digest": request.version.digest, "canary": request.canary is not None}
        what = "behaviour.deploy" if request.canary is None else "behaviour.canary"
        catalogue = await self._change(change, who, what, {"behaviour": request.name} | details)
        return request.version_in(catalogue)

    async def list(self, admin_token: str | None) -> Catalogue:
        """Return all that is deployed."""
        self._admins.check(admin_token)
        return await self._deployer.catalogue()

    def admit(self, admin_token: str | None) -> str:
        """Return who somebody is, in words for the record; raises `Refused` for who is no admin."""
        return self._admins.check(admin_token)

    async def catalogue(self) -> Catalogue:
        """Return all that is deployed, for the router itself."""
        return await self._deployer.catalogue()

    async def promote(self, name: str, admin_token: str | None) -> Catalogue:
        """Have the canary of a behaviour hold for all."""
        return await self._change_named(deploying.promote, "behaviour.promote", name, admin_token)

    async def rollback(self, name: str, admin_token: str | None) -> Catalogue:
        """End the canary of a behaviour, or go back to the version before."""
        return await self._change_named(deploying.rollback, "behaviour.rollback", name, admin_token)

    async def remove(self, name: str, admin_token: str | None) -> Catalogue:
        """Take a behaviour away."""
        return await self._change_named(deploying.remove, "behaviour.remove", name, admin_token)

    async def resume(self, name: str, admin_token: str | None) -> Catalogue:
        """Start a behaviour again that a fault has stopped."""
        return await self._change_named(deploying.resumed, "behaviour.resume", name, admin_token)

    async def pin(self, entity_id: str, node: str | None, admin_token: str | None) -> Catalogue:
        """Have an entity's own actor stay on a Ray node, or anywhere for `None`."""
        who = self._admins.check(admin_token)
        change = partial(deploying.pin, entity_id=entity_id, node=node)
        return await self._change(change, who, "behaviour.pin", {"node": node})

    async def escalate(self, name: str, number: int | None = None) -> Catalogue:
        """Stop a behaviour for all its entities: a shard has met a fault whose strategy wants that."""
        change = partial(deploying.stopped, name=name, number=number)
        return await self._change(change, _SHARD, "behaviour.stop", {"behaviour": name, "version": number})

    async def look(self, status: Iterable[PartitionStatus], stored: Callable[[], Awaitable[Shown]]) -> None:
        """Bring the newest catalogue where an older one is gone by, and show it.

        `stored` tells which entities show behaviours already; it is asked once.

        Raises:
            Unavailable: the store or the log is away, or a shard is not there to tell.
        """
        catalogue = await self._deployer.catalogue()
        rows = [row for row in status if row.phase == Phase.RUNNING]
        behind = [row.partition for row in rows if row.behaviours < catalogue.revision]
        if behind:
            await self._deployer.spread(catalogue, behind)
        async with self._showing:
            if self._shown is None:
                self._shown = await stored()
            await self._show(catalogue, self._shown)

    async def _show(self, catalogue: Catalogue, shown: Shown) -> None:
        """Have the entities say what the catalogue does, unless they say what a newer one does."""
        if catalogue.revision < self._shown_revision:
            return
        self._shown_revision = catalogue.revision
        wanted = {BEHAVIOURS_PREFIX + one.name: facts_of(one, self._hidden) for one in catalogue.deployed}
        for entity_id in shown.keys() - wanted.keys():
            await self._events.write(entity_id, None, _SHOWN)
            del shown[entity_id]
        for entity_id, facts in wanted.items():
            if shown.get(entity_id) != facts:
                await self._events.write(entity_id, facts, _SHOWN)
                shown[entity_id] = facts

    async def _change_named(
        self, change: Callable[..., Catalogue], what: str, name: str, admin_token: str | None
    ) -> Catalogue:
        who = self._admins.check(admin_token)
        return await self._change(partial(change, name=name), who, what, {"behaviour": name})

    async def _change(self, change: Change, who: str, what: str, details: dict[str, Any]) -> Catalogue:
        before = await self._deployer.catalogue()
        if change(before).revision == before.revision:  # refuses before it is recorded
            return before
        await self.record(who, what, details)
        try:
            catalogue = await self._deployer.wish(change)
        except (Refused, Unavailable) as error:
            with suppress(Unavailable):  # the log may be away as well; the change may even have been made
                await self.record(who, _NO_CHANGE, {"reason": error.message})
            raise
        try:
            await self._deployer.spread(catalogue)
        finally:
            await self._show_now(catalogue)
        return catalogue

    async def _show_now(self, catalogue: Catalogue) -> None:
        """Show a catalogue if it can be done; else the next look does."""
        async with self._showing:
            if self._shown is not None:
                with suppress(Unavailable):
                    await self._show(catalogue, self._shown)

    async def record(self, who: str, what: str, details: dict[str, Any]) -> None:
        """Keep that somebody is about to do something; the record is public and holds no secret."""
        record = {"who": who, "what": what, "when": iso_of(self._now_us()), "details": details}
        await self._events.write(AUDIT_ID, record, _AUDITED)


def facts_of(one: Deployed, hidden: AbstractSet[str]) -> dict[str, Any]:
    """Return what everybody may know of a behaviour: nothing that names a hidden namespace."""
    stable, canary = one.stable, one.canary
    return {
        "version": None if stable is None else stable.number,
        **({} if stable is None else _facts_of_version(stable, hidden)),
        "canary": None
        if canary is None
        else {
            "version": canary.number,
            "prefix": None if _names_hidden(one.canary_prefix, hidden) else one.canary_prefix,
            **_facts_of_version(canary, hidden),
        },
        "stopped": one.stopped,
        "earlier": [version.number for version in one.earlier],
    }


def _facts_of_version(version: Version, hidden: AbstractSet[str]) -> dict[str, Any]:
    dedicated = version.dedicated
    placement: Any = "hosted"
    if dedicated is not None:
        placement = {name: getattr(dedicated, name) for name in dedicated.__struct_fields__}
    return {
        "digest": version.digest,
        "match": [pattern for pattern in version.match if not _names_hidden(pattern, hidden)],
        "handles": version.handles,
        "placement": placement,
        "deployed": iso_of(version.deployed_us),
    }


def _names_hidden(pattern: str, hidden: AbstractSet[str]) -> bool:
    """Whether a pattern, or a prefix, tells the name of a hidden namespace, or how one begins."""
    namespace, slash, _ = pattern.partition("/")
    head, star, _ = namespace.partition("*")
    if slash and not star:
        return namespace in hidden
    return bool(head) and any(name.startswith(head) for name in hidden)
