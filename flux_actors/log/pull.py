"""Reading a stream by pull, contiguous or not at all.

The reader keeps credit with JetStream: it asks for `pull_blocks` messages and asks again when half of
them came, so that the next pull is on its way while this one is applied, and what is in flight stays
bounded. Nothing is acknowledged. A message carries its stream sequence in its reply subject
(`$JS.ACK.<stream>.<consumer>.<deliveries>.<sequence>.<consumer sequence>.<time>.<pending>`): what was
read already is dropped, and after a jump, a reconnect, a deleted consumer or silence the reader makes
itself a new consumer right behind the last block it returned.

A block that was lost on the way shows by the jump to the next one. Behind the newest there is no next one, so
whenever credit has run out unused, the reader looks whether the stream has more than it was given.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from flux_actors import limits
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.ports import StoredBlock

BESIDE_HEADER: Final = "Flux-Beside"
_EXPIRED: Final = "408"
_INACTIVE_S: Final = 30.0
_SILENCE_S: Final = limits.pull_expires_s + 2.0
_REQUEST: Final = b'{"batch":%d,"expires":%d}'


class JetStreamReader:
    """A `Reader` on an ephemeral pull consumer."""

    def __init__(
        self,
        client: Client,
        jetstream: JetStreamContext,
        stream: str,
        after: int,
        pull_blocks: int = limits.pull_blocks,
    ) -> None:
        self._pull_blocks = pull_blocks
        self._request = _REQUEST % (pull_blocks, int(limits.pull_expires_s * 1e9))
        self._client = client
        self._jetstream = jetstream
        self._stream = stream
        self._last = after
        self._arrived: deque[StoredBlock] = deque()
        self._wake = asyncio.Event()
        self._subscription: Any = None
        self._consumer = ""
        self._credit = 0
        self._broken = True
        self._idle = False  # credit has run out unused
        self._reconnects = 0
        self._heard_at = 0.0

    async def pull(self, timeout_s: float) -> list[StoredBlock]:
        """Return what has arrived, waiting up to `timeout_s` for the first block."""
        await self._mend()
        await self._ask()
        if not self._arrived:
            self._wake.clear()
            try:
                await asyncio.wait_for(self._wake.wait(), timeout_s)
            except TimeoutError:
                return []
        return self._contiguous()

    async def close(self) -> None:
        """Drop the subscription and the consumer; the server forgets it anyway when it is away."""
        subscription, self._subscription = self._subscription, None
        if subscription is None or self._client.is_closed:
            return
        try:
            await subscription.unsubscribe()
            await self._jetstream.delete_consumer(self._stream, self._consumer)
        except (nats.errors.Error, TimeoutError, OSError):
            return  # inactive consumers end by themselves after `_INACTIVE_S`

    def _contiguous(self) -> list[StoredBlock]:
        found: list[StoredBlock] = []
        size = 0
        while self._arrived and size < limits.pull_bytes_apply_max:
            block = self._arrived.popleft()
            if block.sequence <= self._last:
                continue
            if block.sequence != self._last + 1:
                self._broken = True  # lost on the way: read again from the log
                self._arrived.clear()
                break
            self._last = block.sequence
            size += len(block.data)
            found.append(block)
        return found

    async def _ask(self) -> None:
        if self._credit > self._pull_blocks // 2:
            return
        self._credit += self._pull_blocks
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        try:
            await self._client.publish(subject, self._request, reply=self._subscription.subject)
        except (nats.errors.Error, OSError) as error:
            self._broken = True
            raise Unavailable("the log cannot be reached") from error

    async def _mend(self) -> None:
        silent = asyncio.get_running_loop().time() - self._heard_at > _SILENCE_S
        reconnected = self._client.stats["reconnects"] != self._reconnects
        silent = silent and not self._arrived
        try:
            if not (self._broken or reconnected or silent or await self._has_missed()):
                return
            self._broken = True  # until `_open` has succeeded
            await self.close()
            self._arrived.clear()
            self._credit = 0
            await self._open()
        except nats.js.errors.NotFoundError:
            raise Corrupt(f"the log has no stream {self._stream}") from None
        except (nats.errors.Error, TimeoutError, OSError) as error:
            raise Unavailable("the log cannot be reached") from error

    async def _has_missed(self) -> bool:
        """Whether the newest blocks were lost on the way; asked of a log that has nothing to say."""
        if not self._idle or self._arrived:
            return False
        last = (await self._jetstream.stream_info(self._stream)).state.last_seq
        self._idle = False
        return last > self._last and not self._arrived

    async def _open(self) -> None:
        self._reconnects = self._client.stats["reconnects"]
        info = await self._jetstream.stream_info(self._stream)
        if info.state.first_seq > self._last + 1:
            raise Corrupt(f"{self._stream} begins at {info.state.first_seq}; block {self._last + 1} is gone")
        if info.state.last_seq < self._last:
            raise Corrupt(
                f"{self._stream} ends at {info.state.last_seq}, before block {self._last} that was read from "
                "it: it lost acknowledged events; restore the log"
            )
        config = ConsumerConfig(
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._last + 1,
            inactive_threshold=_INACTIVE_S,
            mem_storage=True,
        )
        consumer = await self._jetstream.add_consumer(self._stream, config)
        self._consumer = consumer.name
        self._subscription = await self._client.subscribe(self._client.new_inbox(), cb=self._receive)
        self._heard_at = asyncio.get_running_loop().time()
        self._broken = self._idle = False

    async def _receive(self, message: Msg) -> None:
        self._heard_at = asyncio.get_running_loop().time()
        if message.reply.startswith("$JS.ACK."):
            tokens = message.reply.split(".")
            self._credit -= 1
            beside = message.headers.get(BESIDE_HEADER, "") if message.headers else ""
            data = bytes(message.data)
            stored_us = int(tokens[-2]) // 1_000
            self._arrived.append(StoredBlock(int(tokens[-4]), data, int(tokens[-1]), beside, stored_us))
        elif message.headers:
            self._on_status(message.headers)
        self._wake.set()

    def _on_status(self, headers: dict[str, str]) -> None:
        if headers.get("Status") == _EXPIRED:
            unused = int(headers.get("Nats-Pending-Messages", self._credit))
            self._credit = max(0, self._credit - unused)
            self._idle = True
        else:
            self._broken = True
