"""A NATS client and its JetStream as far as the log's parts use them, scripted by the test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

Receive = Callable[[Any], Awaitable[None]]


@dataclass
class FakeSubscription:
    subject: str
    receive: Receive
    ended: bool = False

    async def unsubscribe(self) -> None:
        self.ended = True


@dataclass
class FakeNats:
    """Client and JetStream context in one; `fault` is raised by every call that reaches the server."""

    first: int = 1
    last: int = 9
    fault: Exception | None = None
    answer: Any = None
    is_closed: bool = False
    is_connected: bool = True
    max_payload: int = 1 << 20
    stats: dict[str, int] = field(default_factory=lambda: {"reconnects": 0})
    asked: list[tuple[str, bytes, str]] = field(default_factory=list)
    requests: list[tuple[str, bytes, dict[str, str] | None]] = field(default_factory=list)
    consumers: list[Any] = field(default_factory=list)
    deleted: list[str] = field(default_factory=list)
    subscriptions: list[FakeSubscription] = field(default_factory=list)

    def jetstream(self, timeout: float) -> FakeNats:
        return self

    def new_inbox(self) -> str:
        return f"inbox.{len(self.subscriptions)}"

    async def publish(
        self, subject: str, data: bytes, reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        self._check()
        self.asked.append((subject, data, reply))
        self.requests.append((subject, data, headers))
        if self.answer is not None:
            await self.subscriptions[-1].receive(SimpleNamespace(subject=reply, **vars(self.answer)))

    async def subscribe(self, subject: str, cb: Receive) -> FakeSubscription:
        self._check()
        self.subscriptions.append(FakeSubscription(subject, cb))
        return self.subscriptions[-1]

    async def flush(self) -> None:
        self._check()

    async def stream_info(self, stream: str) -> Any:
        self._check()
        state = SimpleNamespace(first_seq=self.first, last_seq=self.last, messages=10 - self.first)
        return SimpleNamespace(state=state, config=SimpleNamespace(metadata=None))

    async def add_consumer(self, stream: str, config: Any) -> Any:
        self._check()
        self.consumers.append(config)
        return SimpleNamespace(name=f"consumer{len(self.consumers)}")

    async def delete_consumer(self, stream: str, consumer: str) -> None:
        self._check()
        self.deleted.append(consumer)

    async def deliver(self, *sequences: int, pending: int = 0) -> None:
        """Hand blocks to the newest subscription; the data is the sequence."""
        for sequence in sequences:
            reply = f"$JS.ACK.STREAM.consumer.1.{sequence}.1.1700000000000000000.{pending}"
            await self.subscriptions[-1].receive(
                SimpleNamespace(reply=reply, data=b"%d" % sequence, headers=None)
            )

    async def tell(self, **headers: str) -> None:
        """Send a status message to the newest subscription."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        await self.subscriptions[-1].receive(SimpleNamespace(reply="", data=b"", headers=named))

    def _check(self) -> None:
        if self.fault is not None:
            raise self.fault
