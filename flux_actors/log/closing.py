"""Closing, reopening and removing generations of the log on JetStream.

A stream is closed by taking its subject away: from then on every writer is told that nobody answers there,
whoever it is and whatever it knows. What was on its way is stored first, for a stream takes its messages in
one order: when the block that closes it is there, so is everything before it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from flux_actors.errors import Unavailable
from flux_actors.log.asking import Answers
from flux_actors.log.generations import closed_subject, event_subject, generation_of, stream_name
from flux_actors.log.stores import stream_names

_TIMEOUT_S: Final = 5.0
_FAULTS: Final = (nats.errors.Error, TimeoutError, OSError)


class _Ack(msgspec.Struct):
    seq: int = 0


_decode_ack = msgspec.json.Decoder(_Ack).decode


class JetStreamGenerations:
    """`Generations` of streams."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._jetstream = client.jetstream(timeout=_TIMEOUT_S)
        self._answers = Answers(client)

    async def close(self, generation: int, partition: int, last_block: bytes) -> int:
        """Take the subject away, then store the last block under the one that is nobody's."""
        name, subject = stream_name(partition, generation), closed_subject(partition, generation)
        if await self._subjects(name) != [subject]:
            await self._listen(name, subject)
        headers = {"Nats-Expected-Stream": name}
        answer = await self._answers.ask(subject, last_block, _TIMEOUT_S, headers)
        try:
            sequence = _decode_ack(answer.data).seq
        except msgspec.DecodeError:
            sequence = 0
        if not sequence:
            raise Unavailable(f"the log of partition {partition} could not be closed")
        return sequence

    async def is_open(self, generation: int, partition: int) -> bool:
        """Look under which subject it listens."""
        return await self._subjects(stream_name(partition, generation)) == [
            event_subject(partition, generation)
        ]

    async def reopen(self, generation: int, partition: int) -> None:
        """Give the subject back, behind whatever took it away: the server takes updates in their order.

        One that takes it away may be on its way though nobody waits for it any more, and the subject still
        be there; so this is never left out.
        """
        await self._listen(stream_name(partition, generation), event_subject(partition, generation))
        if not await self.is_open(generation, partition):
            raise Unavailable(f"the log of partition {partition} could not be opened again")

    async def remove_earlier(self, generation: int) -> int:
        """Delete streams, open or closed."""
        found = await self._streams("flux.events.>") | await self._streams("flux.closed.>")
        gone = [name for name, its in found.items() if its < generation]
        for name in gone:
            await self._delete(name)
        return len(gone)

    async def remove_unfinished(self, generation: int, sure: Callable[[], Awaitable[object]]) -> int:
        """Delete streams that are open."""
        found = await self._streams("flux.events.>")
        gone = [name for name, its in found.items() if its > generation]
        for name in gone:
            await sure()
            await self._delete(name)
        return len(gone)

    async def _streams(self, subjects: str) -> dict[str, int]:
        """Return the streams of the log that listen there, with their generations."""
        names = await stream_names(self._client, subjects)
        return {name: its for name in names if (its := generation_of(name)) is not None}

    async def _delete(self, name: str) -> None:
        try:
            await self._jetstream.delete_stream(name)
        except nats.js.errors.NotFoundError:
            return  # somebody else was faster
        except _FAULTS as error:
            raise _away(error) from error

    async def _subjects(self, name: str) -> list[str] | None:
        try:
            return (await self._jetstream.stream_info(name)).config.subjects
        except _FAULTS as error:
            raise _away(error) from error

    async def _listen(self, name: str, subject: str) -> None:
        try:
            config = (await self._jetstream.stream_info(name)).config
            config.subjects = [subject]
            await self._jetstream.update_stream(config)
        except _FAULTS as error:
            raise _away(error) from error


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the log cannot be reached ({type(error).__name__})")
