"""Flux for plain code: publish, read, ask, watch and claim in any Ray task, actor or driver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Self

from flux_actors.native.aio import LIVE_S, AsyncFlux
from flux_actors.native.bulk import Pair
from flux_actors.native.core import Core
from flux_actors.native.entity import Entity
from flux_actors.native.live import Live
from flux_actors.native.process import here
from flux_actors.native.receipts import Receipt, Receipts
from flux_actors.native.session import Session
from flux_actors.native.ticket import DEFAULT_SOURCE, Ticket


class Flux:
    """A user of Flux. It can be sent to other processes, with its token in it, and connects anew there."""

    def __init__(self, core: Core) -> None:
        self._core = core

    @cached_property
    def aio(self) -> AsyncFlux:
        """The same user for coroutines."""
        return AsyncFlux(self._core)

    def publish(
        self,
        entity_id: str,
        properties: Any,
        *,
        event_id: str | None = None,
        ttl_s: float | None = None,
        if_absent: bool = False,
        if_present: bool = False,
        if_match: str | None = None,
    ) -> Receipt:
        """Publish an event that sets properties; it is durable on return.

        Arguments:
            entity_id: `"namespace/name"`.
            properties: what is set, as JSON has it; those that are not named stay as they are.
            event_id: publishing again under the same id is safe, for minutes.
            ttl_s: the entity ends after so many seconds unless it is renewed; 0 takes that away.
            if_absent: it applies only if the entity is not there.
            if_present: it applies only if the entity is there.
            if_match: it applies only if the entity has changed last at this position.

        Raises:
            Refused: 400 for what is no event, 401 and 403 for what the token is not good for, 412 when the
                condition was not met.
            Unavailable: it is not known to be durable, or to have applied.
        """
        work = self._core.publish(
            *(entity_id, properties, event_id, ttl_s),
            if_absent=if_absent,
            if_present=if_present,
            if_match=if_match,
        )
        return self._core.home.thread.run(work)

    def publish_many(
        self, pairs: Iterable[Pair], *, event_ids: Sequence[str] | None = None, once: bool = True
    ) -> Receipts:
        """Publish many events, pairs of an id and properties, in whole blocks; all are durable on return.

        Arguments:
            pairs: those of one entity apply in this order.
            event_ids: one for each, to publish them again after a failure.
            once: shards remember their ids for some minutes, so that publishing again is safe. That takes
                about 200 bytes of a shard's memory for each; of many millions, publish them with `False`.

        Raises:
            Refused: one of them is no event, or not allowed; none was published.
            NotAllDurable: of some it is not known; it says of which, and the ids to publish them again under.
        """
        work = self._core.publish_many(list(pairs), event_ids, once=once)
        return self._core.home.thread.run(work)

    def delete(self, entity_id: str, *, event_id: str | None = None) -> Receipt:
        """Delete an entity; raises as `publish` does."""
        return self._core.home.thread.run(self._core.delete(entity_id, event_id))

    def entity(self, entity_id: str) -> Entity:
        """Return a handle on an entity, whether it exists or not."""
        return Entity(self._core, entity_id)

    def states(self, ids: Iterable[str]) -> dict[str, dict[str, Any] | None]:
        """Return the properties of many entities, `None` of those that do not exist.

        Raises:
            Unavailable: a partition does not answer now.
        """
        return self._core.home.thread.run(self._core.states(list(ids)))

    def live(self, prefix: str, *, timeout_s: float = LIVE_S) -> Live:
        """Return all entities whose ids begin with `prefix`, kept fresh in this process, once all are here.

        Raises:
            Unavailable: they were not all here in `timeout_s`.
        """
        return Live(self._core, self._core.home.thread.run(self._core.live(prefix, timeout_s)))

    @property
    def position(self) -> str:
        """Up to where this user's reads are at least, for `include` elsewhere; empty before the first."""
        return self._core.session.text

    def include(self, position: str) -> None:
        """Have the reads of this user include what somebody else has written, by the position of that."""
        self._core.include(position)

    def close(self) -> None:
        """End its watches, live copies and claims; the connection stays, for others of this process."""
        self._core.home.thread.run(self._core.close())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the ticket, and how far reads must be."""
        return Flux, (self._core,)

    def __repr__(self) -> str:
        return f"Flux({self._core.ticket!r})"


def connect(*, token: str | None = None, namespace: str | None = None, source: str = DEFAULT_SOURCE) -> Flux:
    """Connect to the Flux of this Ray cluster, from any task, actor or driver; a driver joins the cluster.

    Arguments:
        token: of a namespace; needed where Flux asks for tokens.
        namespace: have what is written be of this namespace alone.
        source: who publishes, as it stands in events.

    Raises:
        Refused: 401, the token is unknown, revoked or expired; 403, it is another namespace's.
        Unavailable: there is no Ray cluster, no Flux on it, or it cannot be reached.
    """
    ticket, process = Ticket.checked(token, namespace, source), here()
    process.enter()
    core = Core(ticket, Session(), process)
    core.home.thread.run(core.link())
    return Flux(core)


def live(
    prefix: str, *, token: str | None = None, namespace: str | None = None, timeout_s: float = LIVE_S
) -> Live:
    """Return `connect(…).live(prefix)`."""
    return connect(token=token, namespace=namespace).live(prefix, timeout_s=timeout_s)
