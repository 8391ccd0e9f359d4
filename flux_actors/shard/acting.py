"""A hosted partition and behaviours: their code before the fold needs it, and the calls of clients."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

import msgspec
import structlog

from flux_actors import limits
from flux_actors.behaviour.calls import (
    AWAY,
    LATE,
    REFUSED,
    Answered,
    Ask,
    Failed,
    Read,
    Rows,
    call_subject,
    decode_request,
    encode,
)
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.errors import Unavailable
from flux_actors.log.ports import StoredBlock, Subscription
from flux_actors.shard.partition import HostedPartition

_log = structlog.get_logger(__name__)
_AWAY_S: Final = 0.2


async def prepare(host: HostedPartition, blocks: Iterable[StoredBlock]) -> None:
    """Have at hand what the fold needs of behaviours that these blocks deploy.

    Raises:
        Unavailable: the code cannot be had now. Corrupt: it is gone.
    """
    if host.equipment is not None:
        await host.equipment.reducer_code.prepare_for(blocks)


async def prepared(host: HostedPartition, blocks: list[StoredBlock]) -> bool:
    """Have at hand what the fold needs of these blocks, however long it takes; `False` when draining.

    What was pulled is not pulled again: it is applied, or the partition has nothing more to do.

    Raises:
        Corrupt: it is gone.
    """
    while not host.draining:
        try:
            await prepare(host, blocks)
        except Unavailable as error:
            _log.warning("behaviours.away", partition=host.partition, reason=error.message)
            await asyncio.sleep(_AWAY_S)
        else:
            return True
    return False


class Acting:
    """The part of a running partition that acts: its dispatcher, and its answers to calls."""

    def __init__(self, host: HostedPartition, dispatcher: Dispatcher | None) -> None:
        self._host = host
        self.dispatcher = host.dispatcher = dispatcher
        self._service: Subscription | None = None

    @classmethod
    async def begin(cls, host: HostedPartition) -> Acting:
        """Answer calls from now on, and take up what waits in the outbox.

        Raises:
            Unavailable: calls cannot come in now; nothing has begun.
        """
        acting = cls(host, None)
        acting._service = await host.bus.serve(call_subject(host.partition), acting.answer)
        if host.equipment is not None:
            acting.dispatcher = host.dispatcher = host.equipment.dispatcher(host.state)
        return acting

    def applied(self) -> None:
        """Hand on what the last pull has brought."""
        told = self._host.told
        if self.dispatcher is not None and told is not None:
            self.dispatcher.report(told.faults)
            self.dispatcher.offer(told.messages)

    async def mend(self) -> None:
        """Replace a dispatcher that has failed: whatever it has not done is in the outbox."""
        failed, equipment = self.dispatcher, self._host.equipment
        if failed is None or failed.fault is None or equipment is None:
            return
        _log.error("dispatcher.replaced", partition=self._host.partition, error=repr(failed.fault))
        self.dispatcher = self._host.dispatcher = None
        await failed.close()
        self.dispatcher = self._host.dispatcher = equipment.dispatcher(self._host.state)

    async def answer(self, data: bytes) -> bytes:
        """Answer a call."""
        try:
            request = decode_request(data)
        except msgspec.DecodeError as error:
            return encode(Failed(REFUSED, f"this call cannot be read: {error}"))
        deadline_s = min(request.deadline_s, limits.ask_deadline_s_max)
        try:
            async with asyncio.timeout(deadline_s):
                await self._host.reached(request.after >> limits.offset_bits)
        except TimeoutError:
            return encode(Failed(LATE, f"what was written before is not applied after {deadline_s:g} s"))
        try:
            answer = await self._answer(request)
        except Unavailable as error:
            answer = Failed(AWAY, error.message, error.retry_after_s)
        return encode(answer)

    async def close(self) -> None:
        """Answer no more, and let go of what is under way."""
        if self._service is not None:
            await self._service.unsubscribe()
        self._host.dispatcher = None
        if self.dispatcher is not None:
            await self.dispatcher.close()

    async def _answer(self, request: Ask | Read) -> Answered | Rows | Failed:
        state = self._host.readable()
        match request:
            case Read():
                found = (state.find(entity_id) for entity_id in request.ids)
                rows = [actor.reading() for actor in found if actor is not None and actor.lives]
                return Rows(state.sequence, rows)
            case Ask():
                if self.dispatcher is None and self._host.equipment is not None:
                    return Failed(AWAY, "the behaviours of this partition begin anew; ask again")
                if self.dispatcher is None:
                    return Failed(REFUSED, "no behaviours run on this shard")
                return await self.dispatcher.ask(request)
