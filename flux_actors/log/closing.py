"""Closing, reopening and removing generations of the log on JetStream.

A stream is closed by taking its subject away: from then on every writer is told that nobody answers there,
whoever it is and whatever it knows. What was on its way is stored first, for a stream takes its messages in
one order: when the block that closes it is there, so is everything before it.
"""

from __future__ import annotations

from typing import Final

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from flux_actors.errors import Unavailable
from flux_actors.log.asking import Answers
from flux_actors.log.generations import closed_subject, event_subject, of_generation, stream_name
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

    async def reopen(self, generation: int, partition: int) -> None:
        """Give the subject back."""
        await self._listen(stream_name(partition, generation), event_subject(partition, generation))

    async def remove(self, *, but: int, closed_too: bool) -> int:
        """Delete streams."""
        found = await stream_names(self._client, "flux.events.>")
        if closed_too:
            found += await stream_names(self._client, "flux.closed.>")
        gone = [name for name in found if not of_generation(name, but)]
        try:
            for name in gone:
                await self._jetstream.delete_stream(name)
        except _FAULTS as error:
            raise Unavailable(f"the log cannot be reached ({type(error).__name__})") from error
        return len(gone)

    async def _listen(self, name: str, subject: str) -> None:
        try:
            config = (await self._jetstream.stream_info(name)).config
            if config.subjects != [subject]:
                config.subjects = [subject]
                await self._jetstream.update_stream(config)
        except _FAULTS as error:
            raise Unavailable(f"the log cannot be reached ({type(error).__name__})") from error
