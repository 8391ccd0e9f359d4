"""Requests to the shard of a partition, wherever that is, until there is an answer or the time is over.

A partition that moves or recovers has nobody who listens, or somebody who says so; it is asked again. A read
may be asked again at any time; a question to a behaviour is, once it may have been heard, waited for, and
carries an id by which its effects count once should it have been heard twice.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from flux_actors import limits
from flux_actors.behaviour import calls
from flux_actors.behaviour.calls import Answered, Ask, Failed, Read, Rows, call_subject
from flux_actors.errors import AskTimedOut, FluxError, HandlerFailed, NotAskable, Refused, Unavailable
from flux_actors.log.ports import Calls

_ASK_AGAIN: Final = frozenset({calls.AWAY})
_READ_AGAIN: Final = frozenset({calls.AWAY, calls.LATE})  # whoever moves may need longer than one try
_NOT_FOUND: Final = 404
_STOPPED: Final = 409
_FAULT: Final = 500


class Asking:
    """Asks shards over the bus."""

    def __init__(self, bus: Calls) -> None:
        self._bus = bus

    async def read(self, partition: int, ids: list[str], after: int, deadline_s: float) -> Rows:
        """Return those of `ids` that live, with everything up to position `after` applied.

        Raises:
            Unavailable: the partition did not answer within `deadline_s`.
        """

        def request(left_s: float) -> bytes:
            return calls.encode(Read(ids, after, min(left_s, limits.native_try_s)))

        answer = await self._answer(partition, request, deadline_s, limits.native_try_s, _READ_AGAIN)
        if isinstance(answer, Rows):
            return answer
        if isinstance(answer, Failed) and answer.kind == calls.REFUSED:
            raise Refused(answer.text)
        raise Unavailable(f"partition {partition} did not answer within {deadline_s:g} s; try again")

    async def ask(
        self, partition: int, entity_id: str, content: Any, ask_id: str, after: int, deadline_s: float
    ) -> Answered:
        """Return what an entity's behaviour answers.

        Raises:
            AskFailed: why there is no answer.
        """

        def request(left_s: float) -> bytes:
            return calls.encode(Ask(entity_id, content, ask_id, after, left_s))

        answer = await self._answer(partition, request, deadline_s, deadline_s, _ASK_AGAIN)
        if isinstance(answer, Answered):
            return answer
        if isinstance(answer, Failed):
            raise _ask_error(entity_id, answer, deadline_s)
        raise AskTimedOut(f"{entity_id} did not answer within {deadline_s:g} s")

    async def _answer(
        self,
        partition: int,
        request: Callable[[float], bytes],
        deadline_s: float,
        try_s: float,
        again: frozenset[str],
    ) -> Answered | Rows | Failed | None:
        """Return an answer that is final, else the last that was not, `None` for none until the deadline."""
        last: Failed | None = None
        now = asyncio.get_running_loop().time
        deadline = now() + deadline_s
        subject = call_subject(partition)
        while (left_s := deadline - now()) > 0:
            try:
                data = await self._bus.request(subject, request(left_s), min(left_s, try_s))
            except Unavailable:
                pass
            else:
                answer: Answered | Rows | Failed = calls.decode_answer(data)
                if not isinstance(answer, Failed) or answer.kind not in again:
                    return answer
                last = answer
            await asyncio.sleep(min(limits.native_retry_s, max(0.0, deadline - now())))
        return last


def _ask_error(entity_id: str, failed: Failed, deadline_s: float) -> FluxError:
    match failed.kind:
        case calls.REFUSED:
            return NotAskable(failed.text or f"{entity_id} has nobody who answers", _NOT_FOUND)
        case calls.STOPPED:
            return NotAskable(failed.text or f"a fault has stopped the behaviour of {entity_id}", _STOPPED)
        case calls.FAULTED:
            return HandlerFailed(failed.text, _FAULT)
        case _:
            return AskTimedOut(failed.text or f"{entity_id} did not answer within {deadline_s:g} s")
