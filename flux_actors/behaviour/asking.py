"""Questions of one entity to another, over the bus."""

from __future__ import annotations

import uuid
from typing import Any, Protocol

from flux_actors.behaviour.calls import AWAY, LATE, Answered, Ask, Failed, call_subject, decode_answer, encode
from flux_actors.domain.entity_id import check_entity_id
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.ports import Calls

_NOT_HANDLED = 422


class Connect(Protocol):
    """Opens the bus."""

    async def __call__(self) -> Calls: ...


class BusAsker:
    """Asks over the bus, which is opened with the first question."""

    def __init__(self, connect: Connect, partitioning: Partitioning) -> None:
        self._connect = connect
        self._partitioning = partitioning
        self._bus: Calls | None = None

    async def ask(self, entity_id: str, content: Any, deadline_s: float) -> Any:
        """Return the answer.

        Raises:
            Refused: it cannot be asked, or its handler failed.
            Unavailable: there was no answer in time.
        """
        check_entity_id(entity_id)
        if self._bus is None:
            self._bus = await self._connect()
        request = Ask(entity_id, content, str(uuid.uuid4()), 0, deadline_s)
        subject = call_subject(self._partitioning.of_entity(entity_id))
        answer = decode_answer(await self._bus.request(subject, encode(request), deadline_s + 1.0))
        match answer:
            case Answered():
                return answer.content
            case Failed(kind=kind) if kind in {AWAY, LATE}:
                raise Unavailable(answer.text)
            case Failed():
                raise Refused(answer.text, _NOT_HANDLED)
            case _:
                raise Unavailable(f"{subject} gave an answer to something else")
