"""A simulated client of NATS: nats-py's `Client` and its JetStream, as far as Flux uses them.

So `JetStreamLog`, its reader and `NatsBus` are the real ones, with all that they know of sequences, credit,
gaps and reconnects. The client comes back by itself when its connection ends: it listens to what it listened
to before, and sends what it was given meanwhile, as nats-py does.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, Final, TypeVar

import nats.errors
import nats.js.errors
from nats.js.api import ConsumerConfig

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.ports import Entry, Versioned
from tests.simulation.loop import Process
from tests.simulation.network import Network, Way
from tests.simulation.server import Message, Server

_T = TypeVar("_T")
_RECONNECT_S: Final = (0.1, 0.6)
_AWAY: Final = "the log's key-value store cannot be reached"
_TIMEOUT_S: Final = 5.0
Receive = Callable[[Any], Awaitable[None]]
_NO_ANSWER: Final = object()


class Listening:
    """A subscription of a client."""

    def __init__(self, client: SimulatedNats, number: int, subject: str, receive: Receive) -> None:
        self.client = client
        self.number = number
        self.subject = subject
        self.receive = receive

    async def unsubscribe(self) -> None:
        """End it."""
        self.client.unsubscribe(self)


class SimulatedNats:
    """The client of one process."""

    max_payload = limits.nats_payload_bytes_max

    def __init__(
        self, process: Process, network: Network, server: Server, numbers: itertools.count[int]
    ) -> None:
        self.process = process
        self.is_connected = False
        self.is_closed = False
        self.stats = {"reconnects": 0}
        self.deaf_to = 0  # so many messages get lost, of the bus or from a consumer: it was too slow for them
        self._network = network
        self._server = server
        self._numbers = numbers
        self._listening: dict[int, Listening] = {}
        self._pending: list[tuple[Callable[..., None], tuple[Any, ...]]] = []
        self._connect()

    # nats-py's client.

    def new_inbox(self) -> str:
        """Return a subject that is nobody else's."""
        return f"_INBOX.{next(self._numbers)}"

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send a message; while there is no connection it is kept for the next one."""
        self._check()
        self._send(self._server.publish, subject, reply, bytes(data), headers)

    async def subscribe(self, subject: str, cb: Receive) -> Listening:
        """Have `cb` called with every message of a subject."""
        self._check()
        listening = Listening(self, next(self._numbers), subject, cb)
        self._listening[listening.number] = listening
        if self.is_connected:
            self._up.send(self._server.listen, self, listening.number, subject)
        return listening

    async def flush(self) -> None:
        """Return when the server has all that was sent.

        Raises:
            TimeoutError: it has not.
        """
        await self.ask(lambda: True, _TIMEOUT_S)

    async def request(self, subject: str, data: bytes, timeout: float) -> Any:  # noqa: ASYNC109 - nats-py's
        """Return the answer to a message."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        async def hear(message: Any) -> None:
            if not answer.done():
                answer.set_result(message)

        listening = await self.subscribe(self.new_inbox(), hear)
        try:
            await self.publish(subject, data, listening.subject)
            async with asyncio.timeout(timeout):
                message = await answer
        except TimeoutError:
            raise nats.errors.TimeoutError from None
        finally:
            self.unsubscribe(listening)
        if message.headers and message.headers.get("Status") == "503":
            raise nats.errors.NoRespondersError
        return message

    def jetstream(self, timeout: float) -> SimulatedJetStream:
        """Return what manages streams."""
        return SimulatedJetStream(self, self._server, timeout)

    async def close(self) -> None:
        """End the connection for good."""
        self.end()

    def end(self) -> None:
        """End with the process, or at its wish."""
        self.is_closed = True
        self.drop()

    # The server's side of it.

    def hand(self, number: int, message: Message) -> None:
        """Send a message to one of its subscriptions."""
        if self.deaf_to and (
            message.reply.startswith("$JS.ACK.") or not message.subject.startswith("_INBOX.")
        ):
            self.deaf_to -= 1
        else:
            self._down.send(self._receive, number, message)

    def drop(self) -> None:
        """Have the connection end."""
        if not self.is_connected:
            return
        self.is_connected = False
        self._server.forget(self)
        self._up.break_off()
        self._down.break_off()
        self._come_back_later()

    # Faults of the way between.

    def block(self, *, up: bool, down: bool) -> None:
        """Hold up what is sent there, or from there."""
        if up:
            self._up.block()
        if down:
            self._down.block()

    def unblock(self) -> None:
        """Let everything go on."""
        self._up.unblock()
        self._down.unblock()

    async def ask(self, work: Callable[[], _T], timeout_s: float) -> _T:
        """Have the server do something and return its answer.

        Raises:
            nats.errors.TimeoutError: there was none in time.
        """
        answer: asyncio.Future[_T] = asyncio.get_running_loop().create_future()

        def take(found: _T) -> None:
            if not answer.done():
                answer.set_result(found)

        def at_server() -> None:
            found = work() if self._server.up else _NO_ANSWER
            if found is not _NO_ANSWER:
                self._down.send(take, found)

        self._send(at_server)
        try:
            async with asyncio.timeout(timeout_s):
                return await answer
        except TimeoutError:
            raise nats.errors.TimeoutError from None

    def unsubscribe(self, listening: Listening) -> None:
        """End a subscription."""
        if self._listening.pop(listening.number, None) is not None and self.is_connected:
            self._up.send(self._server.deafen, self, listening.number)

    def _check(self) -> None:
        if self.is_closed:
            raise nats.errors.ConnectionClosedError

    def _send(self, arrive: Callable[..., None], *arguments: Any) -> None:
        if self.is_connected:
            self._up.send(arrive, *arguments)
        else:
            self._pending.append((arrive, arguments))

    def _receive(self, number: int, message: Message) -> None:
        listening = self._listening.get(number)
        if listening is None:
            return
        subject, reply, data, headers = message
        given = SimpleNamespace(subject=subject, reply=reply, data=data, headers=headers)
        given.respond = lambda answer: self.publish(reply, answer)
        step: Any = listening.receive(given)
        try:
            step.send(None)  # none of Flux's receivers waits for anything, so none needs a task
        except StopIteration:
            return
        raise AssertionError(f"who hears {subject} waits")

    def _connect(self) -> None:
        self._up = Way(self._network)
        self._down = Way(self._network, self.process.context)
        self.is_connected = True
        self._server.welcome(self)
        for listening in self._listening.values():
            self._up.send(self._server.listen, self, listening.number, listening.subject)
        pending, self._pending = self._pending, []
        for arrive, arguments in pending:
            self._up.send(arrive, *arguments)

    def _come_back_later(self) -> None:
        wait_s = self._network.chance.seconds(*_RECONNECT_S)
        self._network.loop.call_later(wait_s, self._come_back, context=self.process.context)

    def _come_back(self) -> None:
        if self.is_closed:
            return
        if not self._server.up:
            self._come_back_later()
            return
        self.stats["reconnects"] += 1
        self._connect()


class SimulatedJetStream:
    """nats-py's JetStream context."""

    def __init__(self, client: SimulatedNats, server: Server, timeout_s: float) -> None:
        self._client = client
        self._server = server
        self._timeout_s = timeout_s

    async def stream_info(self, name: str) -> Any:
        """Return how far a stream is."""
        bounds = await self._ask(name, lambda stream: stream.bounds())
        messages = bounds.last - bounds.first + 1
        state = SimpleNamespace(
            first_seq=bounds.first, last_seq=bounds.last, messages=messages, bytes=100 * messages
        )
        return SimpleNamespace(state=state, config=SimpleNamespace(metadata={"flux-log-id": bounds.log_id}))

    async def add_consumer(self, name: str, config: ConsumerConfig) -> Any:
        """Make a consumer."""
        return await self._ask(name, lambda stream: self._server.add_consumer(stream, config))

    async def delete_consumer(self, name: str, consumer: str) -> bool:
        """Take a consumer away."""
        if not await self._ask(name, lambda stream: stream.consumers.pop(consumer, None) is not None):
            raise nats.js.errors.NotFoundError
        return True

    async def purge_stream(self, name: str, seq: int) -> bool:
        """Forget what is in front of a sequence."""
        await self._ask(name, lambda stream: stream.purge(seq))
        return True

    async def _ask(self, name: str, work: Callable[[Any], _T]) -> _T:
        def answer() -> _T:
            stream = self._server.stream(name)
            return _NO_ANSWER if stream is None else work(stream)  # type: ignore[return-value]

        return await self._client.ask(answer, self._timeout_s)


class SimulatedKeyValue:
    """A `KeyValue` in a bucket of the server; an answer may get lost after something was stored."""

    def __init__(self, client: SimulatedNats, server: Server, bucket: str) -> None:
        self._client = client
        self._server = server
        self._bucket = server.bucket(bucket)

    async def get(self, key: str) -> Versioned | None:
        """Return the value of a key, maybe not the newest."""
        return await self._ask(lambda now_s: self._bucket.get(key, now_s, stale=self._server.is_stale()))

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        """Store by compare-and-set."""
        revision = await self._ask(lambda now_s: self._bucket.put(key, value, expected, now_s))
        if revision is None:
            raise Refused(f"{key} was changed by somebody else; read it again", 409)
        return revision

    async def delete(self, key: str) -> None:
        """Forget a key."""
        await self._ask(lambda now_s: self._bucket.delete(key, now_s))

    async def keys(self) -> list[str]:
        """Return all keys."""
        entries = await self._ask(lambda _: self._bucket.entries())
        return sorted(entry.key for entry in entries if entry.value is not None)

    async def changes(self, after: int) -> list[Entry]:
        """Return what was stored behind a revision."""
        entries = await self._ask(lambda _: self._bucket.entries())
        return [entry for entry in entries if entry.revision > after]

    async def _ask(self, work: Callable[[float], _T]) -> _T:
        clock = self._server.loop.time
        try:
            return await self._client.ask(lambda: work(clock()), _TIMEOUT_S)
        except nats.errors.Error as error:
            raise Unavailable(_AWAY) from error
