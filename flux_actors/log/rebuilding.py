"""Building a log anew on JetStream, for a restore: the same blocks at the same sequences.

A stream can be told where it begins, and every message which sequence it must follow. So a block that is
lost, doubled or out of order on the way is refused by the server, and no other check is needed. Many are on
their way at once.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client

from flux_actors import limits
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.asking import Answers
from flux_actors.log.generations import FIRST_GENERATION, event_subject, stream_name
from flux_actors.log.jetstream import JetStreamLog, stream_config
from flux_actors.log.ports import LogBounds

_TIMEOUT_S: Final = 30.0
_TRIES: Final = 10
_RETRY_S: Final = 0.5
_CONFLICT: Final = 409
_FOLLOWS: Final = "Nats-Expected-Last-Sequence"


class _Ack(msgspec.Struct):
    seq: int = 0


_decode_ack = msgspec.json.Decoder(_Ack).decode


class JetStreamRebuilder:
    """A `Rebuilder` whose blocks are messages of JetStream streams, kept in so many copies."""

    def __init__(self, client: Client, replicas: int = 1, generation: int = FIRST_GENERATION) -> None:
        self._client = client
        self._replicas = replicas
        self._generation = generation
        self._jetstream = client.jetstream(timeout=_TIMEOUT_S)
        self._log = JetStreamLog(client, generation)
        self._made: dict[int, str] = {}  # the ids of the logs that partitions were made for
        self._answers = Answers(client)

    @property
    def payload_bytes_max(self) -> int:
        """The largest message the server takes."""
        return self._client.max_payload

    async def make(self, partition: int, first: int, log_id: str) -> None:
        """Make a stream."""
        name, generation = stream_name(partition, self._generation), self._generation
        try:
            try:
                await self._jetstream.stream_info(name)
            except nats.js.errors.NotFoundError:
                config = stream_config(partition, log_id, self._replicas, first, generation)
                await self._jetstream.add_stream(config)
                self._made[partition] = log_id
                return
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable(f"the log cannot be made ({type(error).__name__})") from error
        raise Refused(f"there is a stream {name} already", _CONFLICT)

    async def append(self, partition: int, sequence: int, blocks: list[bytes]) -> None:
        """Publish blocks; after a fault, look how far it came and go on from there."""
        for first, some in _pieces(sequence, blocks):
            for number in range(1, _TRIES + 1):
                try:
                    await self._append(partition, first, some)
                    break
                except Unavailable:
                    if number == _TRIES:
                        raise
                    await asyncio.sleep(_RETRY_S)

    async def bounds(self, partition: int) -> LogBounds:
        """Return the stream's first and last sequence, and whose it is."""
        return await self._log.bounds(partition)

    async def _append(self, partition: int, first: int, blocks: list[bytes]) -> None:
        bounds = await self._log.bounds(partition)
        if self._made.get(partition, bounds.log_id) != bounds.log_id:
            raise Refused(f"the log of partition {partition} was made anew by somebody else", _CONFLICT)
        last = bounds.last
        if last < first - 1:
            raise Corrupt(f"the log of partition {partition} ends at {last}, not in front of {first}")
        left = list(enumerate(blocks, first))[last - first + 1 :]
        await asyncio.gather(*(self._publish(partition, sequence, data) for sequence, data in left))

    async def _publish(self, partition: int, sequence: int, data: bytes) -> None:
        name, subject = stream_name(partition, self._generation), event_subject(partition, self._generation)
        headers = {_FOLLOWS: str(sequence - 1), "Nats-Expected-Stream": name}
        answer = await self._answers.ask(subject, data, _TIMEOUT_S, headers)
        try:
            stored = _decode_ack(answer.data).seq
        except msgspec.DecodeError:
            stored = 0
        if stored != sequence:
            raise Unavailable(f"block {sequence} of partition {partition} was not taken by the log")


def _pieces(sequence: int, blocks: list[bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """Yield as many blocks as may be on their way at once, with the sequence of the first."""
    some: list[bytes] = []
    size = 0
    for data in blocks:
        if some and (len(some) == limits.restore_blocks_max or size + len(data) > limits.restore_bytes_max):
            yield sequence, some
            sequence, some, size = sequence + len(some), [], 0
        some.append(data)
        size += len(data)
    if some:
        yield sequence, some
