"""The bus on core NATS."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from flux_actors.errors import Unavailable


class NatsBus:
    """A `Bus` whose messages are core NATS messages."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def publish(self, subject: str, data: bytes) -> None:
        """Send; while the server is away the client keeps a bounded amount."""
        try:
            await self._client.publish(subject, data)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the bus cannot be reached") from error

    async def subscribe(self, subject: str, receive: Callable[[bytes], Awaitable[None]]) -> Any:
        """Have `receive` called in order; NATS keeps the subscription over reconnects."""

        async def on_message(message: Msg) -> None:
            await receive(message.data)

        subscription = await self._client.subscribe(subject, cb=on_message)
        await self._client.flush()
        return subscription
