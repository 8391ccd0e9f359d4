"""The audit record: who changed what and when, as events of the entity `flux-core/audit`.

A record is an event of the log like any other: durable before `record` returns, read and watched as an entity
(its properties are the newest record) and through its history. Clients cannot write it: `flux-core` is the
server's own. It is public, so a record never holds a token or what could stand for one.
"""

from __future__ import annotations

import time
import uuid
from typing import Any, Final

from flux_actors.domain.clock import iso_of
from flux_actors.domain.entity_id import AUDIT_ID, CORE_NAMESPACE
from flux_actors.domain.event import server_event
from flux_actors.errors import Unavailable
from flux_api.publishing import Publisher

STREAM: Final = "flux.audit"


class Audit:
    """Writes records through a door's committers."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher

    async def record(self, who: str, what: str, details: dict[str, Any], about: str = "") -> None:
        """Keep that `who` (in words, never a token) is about to do `what`; `details` are JSON.

        What is `about` a namespace's own affairs, by its id, is kept beside it as `flux-core/audit/<id>`.

        Call it before the change: a change that went unrecorded could not be accounted for, while a record of
        a change that was not made can be followed by another which says so.

        Raises:
            Unavailable: the record is not known to be durable, so the change must not be made.
        """
        now_us = time.time_ns() // 1_000
        properties = {"who": who, "what": what, "when": iso_of(now_us), "details": details}
        entity_id = f"{AUDIT_ID}/{about}" if about else AUDIT_ID
        event = server_event(
            entity_id, properties, str(uuid.uuid4()), now_us // 1_000, CORE_NAMESPACE, STREAM
        )
        try:
            await self._publisher.publish_own(event)
        except Unavailable as error:
            raise Unavailable(
                f"nothing was changed, for the change could not be recorded ({error.message}); try again",
                error.retry_after_s,
            ) from None
