"""The log on NATS JetStream: one stream per partition."""

from __future__ import annotations

from typing import Final

import msgspec
import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, RetentionPolicy, StorageType, StreamConfig, StreamInfo

from flux_actors import limits
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.asking import Answers
from flux_actors.log.copies import fault_of
from flux_actors.log.generations import FIRST_GENERATION, event_subject, origin_of, stream_name
from flux_actors.log.ports import LogBounds, LogUsage
from flux_actors.log.pull import BESIDE_HEADER, JetStreamReader
from flux_actors.log.read_gate import ReadGate

_LOG_ID: Final = "flux-log-id"
_NOT_FOUND: Final = "404"
_TIMEOUT_S: Final = 5.0


class _PublishError(msgspec.Struct):
    code: int = 0
    description: str = ""


class _PublishAck(msgspec.Struct):
    seq: int = 0
    error: _PublishError | None = None


_decode_ack = msgspec.json.Decoder(_PublishAck).decode


def stream_config(
    partition: int,
    log_id: str,
    replicas: int,
    first: int | None = None,
    generation: int = FIRST_GENERATION,
) -> StreamConfig:
    """Return what a partition's stream is; its first block will have the sequence `first`, 1 if not said."""
    return StreamConfig(
        name=stream_name(partition, generation),
        subjects=[event_subject(partition, generation)],
        retention=RetentionPolicy.LIMITS,
        storage=StorageType.FILE,
        discard=DiscardPolicy.NEW,
        num_replicas=replicas,
        duplicate_window=limits.duplicate_window_s,
        allow_direct=True,
        first_seq=first,
        metadata={_LOG_ID: log_id},
    )


class JetStreamLog:
    """An `EventLog` whose blocks are messages of JetStream streams, those of one generation."""

    def __init__(self, client: Client, generation: int = FIRST_GENERATION) -> None:
        self._generation = generation
        self._client = client
        self._jetstream = client.jetstream(timeout=_TIMEOUT_S)
        self._answers = Answers(client)
        self._reads = ReadGate()

    @property
    def payload_bytes_max(self) -> int:
        """The largest message the server takes."""
        return self._client.max_payload

    async def create(self, partitions: int, log_id: str, replicas: int) -> None:
        """Make the streams that do not exist yet.

        Raises:
            Refused: NATS never keeps so many copies. Unavailable: it cannot make them now.
        """
        generation = self._generation
        for partition in range(partitions):
            try:
                await self._make(
                    stream_config(partition, log_id, replicas, origin_of(generation), generation)
                )
            except (nats.errors.Error, TimeoutError, OSError) as error:
                raise fault_of(error, "the log", replicas) from error

    async def _make(self, config: StreamConfig) -> None:
        try:
            await self._jetstream.stream_info(config.name or "")
        except nats.js.errors.NotFoundError:
            await self._jetstream.add_stream(config)

    async def append(
        self, partition: int, data: bytes, block_id: str, timeout_s: float, beside: str = ""
    ) -> int:
        """Publish one block and wait for JetStream's word that it is stored."""
        if not self._client.is_connected:  # the client would keep it and send it whenever it is back
            raise Unavailable("the log cannot be reached")
        headers = {"Nats-Msg-Id": block_id, "Nats-Expected-Stream": self._stream(partition)}
        if beside:
            headers[BESIDE_HEADER] = beside
        answer = await self._answers.ask(event_subject(partition, self._generation), data, timeout_s, headers)
        try:
            ack = _decode_ack(answer.data)
        except msgspec.DecodeError:
            raise Unavailable("the log gave an answer that is none") from None
        if ack.error is not None or not ack.seq:
            raise Unavailable(
                f"the log refuses writes: {ack.error.description if ack.error else 'no reason'}"
            )
        return ack.seq

    async def bounds(self, partition: int) -> LogBounds:
        """Return the stream's first and last sequence."""
        info = await self._info(partition)
        state = info.state
        metadata = info.config.metadata or {}
        first = state.first_seq if state.messages else state.last_seq + 1
        return LogBounds(first, state.last_seq, metadata.get(_LOG_ID, ""), origin_of(self._generation))

    async def usage(self, partition: int) -> LogUsage:
        """Return how many messages the stream has, and their bytes."""
        state = (await self._info(partition)).state
        return LogUsage(state.messages, state.bytes)

    async def forget(self, partition: int, first: int) -> None:
        """Purge the stream up to `first`."""
        try:
            await self._jetstream.purge_stream(self._stream(partition), seq=first)
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable("the log cannot be reached") from error

    def _stream(self, partition: int) -> str:
        return stream_name(partition, self._generation)

    async def _info(self, partition: int) -> StreamInfo:
        try:
            return await self._jetstream.stream_info(self._stream(partition))
        except nats.js.errors.NotFoundError:
            raise Corrupt(f"the log has no stream {self._stream(partition)}") from None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable("the log cannot be reached") from error

    async def block(self, partition: int, sequence: int) -> bytes:
        """Read one message by its sequence, straight from the store."""
        subject = f"$JS.API.DIRECT.GET.{self._stream(partition)}"
        await self._reads.enter()
        try:
            answer = await self._answers.ask(subject, b'{"seq":%d}' % sequence, _TIMEOUT_S, None)
            self._reads.saw(len(answer.data))
        finally:
            self._reads.leave()
        if answer.headers and answer.headers.get("Status") == _NOT_FOUND:
            raise Corrupt(f"block {sequence} is not in the log of partition {partition} any more")
        if not answer.headers or answer.headers.get("Nats-Sequence") != str(sequence):
            raise Unavailable("the log did not give the block that was asked for")
        return bytes(answer.data)

    def reader(self, partition: int, after: int, pull_blocks: int = limits.pull_blocks) -> JetStreamReader:
        """Return a pull reader behind `after` that asks for `pull_blocks` at a time."""
        return JetStreamReader(self._client, self._jetstream, self._stream(partition), after, pull_blocks)
