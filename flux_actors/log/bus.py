"""The bus on core NATS."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from flux_actors.errors import Unavailable
from flux_actors.log.sites import subject_at


class NatsBus:
    """A `Bus`, and `Calls`, whose messages are core NATS messages; each site has one of its own."""

    def __init__(self, client: Client, site: str = "") -> None:
        self._client = client
        self._site = site
        self._answering: set[asyncio.Task[None]] = set()

    async def publish(self, subject: str, data: bytes) -> None:
        """Send; while the server is away the client keeps a bounded amount."""
        try:
            await self._client.publish(subject_at(self._site, subject), data)
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the bus cannot be reached") from error

    async def subscribe(self, subject: str, receive: Callable[[bytes], Awaitable[None]]) -> Any:
        """Have `receive` called in order; NATS keeps the subscription over reconnects."""

        async def on_message(message: Msg) -> None:
            await receive(message.data)

        return await self._listen(subject, on_message)

    async def serve(self, subject: str, answer: Callable[[bytes], Awaitable[bytes]]) -> Any:
        """Answer in tasks: a question that takes long holds up no other."""

        async def respond(message: Msg) -> None:
            data = await answer(message.data)
            try:
                await message.respond(data)
            except (nats.errors.Error, OSError):
                return  # who asked does not hear, and asks again

        async def on_message(message: Msg) -> None:
            task = asyncio.create_task(respond(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

        return await self._listen(subject, on_message)

    async def request(self, subject: str, data: bytes, timeout_s: float) -> bytes:
        """Ask; NATS tells at once when nobody serves the subject."""
        try:
            answer = await self._client.request(subject_at(self._site, subject), data, timeout=timeout_s)
        except nats.errors.NoRespondersError:
            raise Unavailable(f"nobody answers for {subject} now; ask again in a second") from None
        except TimeoutError:
            raise Unavailable(f"{subject} did not answer in {timeout_s:g} s; ask again") from None
        except (nats.errors.Error, OSError) as error:
            raise Unavailable("the bus cannot be reached") from error
        return bytes(answer.data)

    async def _listen(self, subject: str, on_message: Callable[[Msg], Awaitable[None]]) -> Any:
        """Subscribe, and return when the server knows of it; nothing is left of what it does not know of."""
        subscription = None
        try:
            subscription = await self._client.subscribe(subject_at(self._site, subject), cb=on_message)
            await self._client.flush()
        except (nats.errors.Error, OSError) as error:
            if subscription is not None:
                with suppress(nats.errors.Error, OSError):  # then the connection is gone, and with it this
                    await subscription.unsubscribe()
            raise Unavailable("the bus cannot be reached") from error
        return subscription
