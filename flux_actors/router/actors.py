"""The router's part in entities that act: admins see how they stand, and kill, restart, stop and pin them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from flux_actors import limits
from flux_actors.behaviour.roster import ActorRow
from flux_actors.domain.acting.catalogue import Binding, Catalogue
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.errors import Refused, Unavailable
from flux_actors.router.behaviours import Behaviours
from flux_actors.router.router import Router
from flux_actors.router.shard_host import ShardGone, ShardHost

_NOT_FOUND: Final = 404
_CONFLICT: Final = 409
Nodes = Callable[[], Iterable[Mapping[str, Any]]]  # as `ray.nodes()` tells of them


class Actors:
    """Looks after entities with behaviours, through the shards that host them."""

    def __init__(self, router: Router, host: ShardHost, behaviours: Behaviours, nodes: Nodes) -> None:
        self._router = router
        self._host = host
        self._behaviours = behaviours
        self._nodes = nodes

    async def find(self, prefix: str, rows_max: int, admin_token: str | None) -> list[ActorRow]:
        """Return up to `rows_max` rows by their ids: those with something to tell are taken first.

        Raises:
            Refused: 403, it is not the admin token. Unavailable: a partition is not hosted now.
        """
        self._behaviours.admit(admin_token)
        if not 0 < rows_max <= limits.actor_rows_max:
            raise Refused(f"limit is a number of rows from 1 to {limits.actor_rows_max}, not {rows_max}")
        partitions = self._router.registry.partitioning().of_prefix(prefix)
        found = await asyncio.gather(*(self._rows(one, prefix, rows_max) for one in partitions))
        rows = sorted((row for rows in found for row in rows), key=lambda row: (not row.tells, row.entity))
        return sorted(rows[:rows_max], key=lambda row: row.entity)

    async def act(self, verb: str, entity_id: str, admin_token: str | None) -> None:
        """Kill, restart or stop the behaviour of an entity; return when that holds.

        Raises:
            Refused: it has no behaviour, or it is not the admin token. Unavailable: its shard is away.
        """
        who = self._behaviours.admit(admin_token)
        name = (await self._bound(entity_id)).name
        await self._behaviours.record(who, f"actor.{verb}", {"behaviour": name})
        partition = self._router.registry.partitioning().of_entity(entity_id)
        try:
            await self._host.act_on(self._shard(partition), partition, verb, entity_id)
        except (ShardGone, TimeoutError):
            raise Unavailable(f"the shard of {entity_id[:200]!r} does not answer; try again") from None

    async def pin(self, entity_id: str, node: str | None, admin_token: str | None) -> Catalogue:
        """Have an entity's own actor live on a Ray node, named by its id or how that begins.

        Raises:
            Refused: it has no actor of its own, or there is no such node.
        """
        self._behaviours.admit(admin_token)
        if node is not None:
            found = await self._bound(entity_id)
            if found.version is None or found.version.dedicated is None:
                raise Refused(
                    f"{entity_id[:200]!r} is hosted in its shard and runs where that does; "
                    "only an entity whose behaviour has placement = Dedicated(…) can be pinned",
                    _CONFLICT,
                )
            node = node_of(node, await asyncio.to_thread(self._nodes))
        return await self._behaviours.pin(entity_id, node, admin_token)

    async def _rows(self, partition: int, prefix: str, rows_max: int) -> list[ActorRow]:
        try:
            return await self._host.actors(self._shard(partition), partition, prefix, rows_max)
        except (ShardGone, TimeoutError):
            raise Unavailable(f"the shard of partition {partition} does not answer; try again") from None

    async def _bound(self, entity_id: str) -> Binding:
        """Return the behaviour of an entity; raises `Refused` when it has none."""
        binding = (await self._behaviours.catalogue()).binding(check_entity_id(entity_id))
        if binding.version is None:
            raise Refused(
                f"{entity_id[:200]!r} has no behaviour; `flux behaviours list` tells which ids have one",
                _NOT_FOUND,
            )
        return binding

    def _shard(self, partition: int) -> str:
        owner = self._router.topology.owners[partition]
        if owner is None:
            raise Unavailable(f"nobody hosts partition {partition} now; try again in a second")
        return owner.shard


def node_of(text: str, nodes: Iterable[Mapping[str, Any]]) -> str:
    """Return the id of the living node whose id is, or begins with, `text`.

    Raises:
        Refused: there is none, or more than one; it names those that there are.
    """
    living = [node for node in nodes if node["Alive"]]
    found = [node["NodeID"] for node in living if node["NodeID"].startswith(text)] if text else []
    if len(found) == 1:
        return str(found[0])
    known = ", ".join(f"{node['NodeID']} ({node['NodeManagerAddress']})" for node in living)
    what = "several nodes have" if found else "no living node of this Ray cluster has"
    raise Refused(f"{what} an id that begins with {text[:64]!r}; there are {known}", _NOT_FOUND)
