"""One entity, as Python code has it in its hands: `Entity` for plain code, `AsyncEntity` for coroutines."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from types import TracebackType
from typing import Any, Final, Self

from flux_actors.native.claiming import Claiming
from flux_actors.native.core import Core
from flux_actors.native.receipts import Receipt
from flux_actors.native.watch import State, Watch

ASK_S: Final = 5.0
CLAIM_S: Final = 30.0


class Claimed:
    """A claim that is held: renewed by itself, until the block that took it ends."""

    def __init__(self, claiming: Claiming) -> None:
        self._claiming = claiming

    @property
    def entity_id(self) -> str:
        """What is claimed."""
        return self._claiming.entity_id

    @property
    def holder(self) -> str:
        """Who holds it."""
        return self._claiming.holder

    @property
    def token(self) -> int:
        """Greater than that of each earlier claim: who is told it can refuse what an earlier holder sends."""
        return self._claiming.token

    @property
    def expires_at(self) -> str:
        """When it ends unless it is renewed, by the log's clock."""
        return self._claiming.expires_at

    @property
    def lost(self) -> bool:
        """Whether somebody else may hold it by now: what is done next is not protected any more."""
        return self._claiming.lost

    def __repr__(self) -> str:
        return f"Claimed({self.entity_id!r}, holder={self.holder!r}, token={self.token})"


class _Use:
    """What somebody wants of a claim, until `with` takes it."""

    def __init__(self, core: Core, entity_id: str, holder: str | None, ttl_s: float) -> None:
        self._core = core
        self._wanted = (entity_id, holder, ttl_s)
        self._claiming: Claiming | None = None

    async def _begin(self) -> Claimed:
        self._claiming = await self._core.claim(*self._wanted)
        return Claimed(self._claiming)

    async def _end(self) -> None:
        if self._claiming is not None:
            claiming, self._claiming = self._claiming, None
            await self._core.end(claiming)


class ClaimUse(_Use):
    """`with entity.claim() as claimed:`."""

    def __enter__(self) -> Claimed:
        return self._core.home.thread.run(self._begin())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._core.home.thread.run(self._end())


class AsyncClaimUse(_Use):
    """`async with entity.claim() as claimed:`."""

    async def __aenter__(self) -> Claimed:
        return await self._core.home.thread.run_async(self._begin())

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._core.home.thread.run_async(self._end())


class States(Iterator[State]):
    """The states of an entity, one after the other; `close` ends it, from another thread, too."""

    def __init__(self, core: Core, watch: Watch) -> None:
        self._core = core
        self._watch = watch
        self._taken: list[State] = []

    def __next__(self) -> State:
        if not self._taken:
            self._taken = self._core.home.thread.run(self._watch.take())[::-1]
        if not self._taken:
            raise StopIteration
        return self._taken.pop()

    def close(self) -> None:
        """Watch no longer."""
        self._core.home.thread.run(self._core.end(self._watch))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncStates(AsyncIterator[State]):
    """The same for coroutines; the watch begins with the first state that is taken."""

    def __init__(self, core: Core, entity_id: str) -> None:
        self._core = core
        self._entity_id = entity_id
        self._watch: Watch | None = None
        self._taken: list[State] = []

    async def __anext__(self) -> State:
        thread = self._core.home.thread
        if self._watch is None:
            self._watch = await thread.run_async(self._core.watch(self._entity_id))
        if not self._taken:
            self._taken = (await thread.run_async(self._watch.take()))[::-1]
        if not self._taken:
            raise StopAsyncIteration
        return self._taken.pop()

    async def aclose(self) -> None:
        """Watch no longer."""
        if self._watch is not None:
            await self._core.home.thread.run_async(self._core.end(self._watch))

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Entity:
    """A handle on one entity; it can be sent to other processes."""

    def __init__(self, core: Core, entity_id: str) -> None:
        self._core = core
        self.id = entity_id

    def state(self) -> dict[str, Any] | None:
        """Return its properties, `None` when it does not exist; what was published here before is in them.

        Raises:
            Unavailable: its partition does not answer now.
        """
        return self._core.home.thread.run(self._core.states([self.id]))[self.id]

    def ask(self, message: Any, deadline_s: float = ASK_S) -> Any:
        """Return what its behaviour answers; reads that follow see what the question has caused.

        Raises:
            NotAskable: it has no behaviour that answers. HandlerFailed: the handler did.
            AskTimedOut: there was no answer within `deadline_s`.
        """
        return self._core.home.thread.run(self._core.ask(self.id, message, deadline_s))

    def tell(self, message: Any, *, event_id: str | None = None) -> Receipt:
        """Send its behaviour a message, which is durable on return and is handled once."""
        return self._core.home.thread.run(self._core.tell(self.id, message, event_id))

    def watch(self) -> States:
        """Return its present state and, as they come, all that follow; close it when it is done with.

        Who takes them too slowly misses the oldest, never the newest.
        """
        return States(self._core, self._core.home.thread.run(self._core.watch(self.id)))

    def claim(self, holder: str | None = None, ttl_s: float = CLAIM_S) -> ClaimUse:
        """Return what `with` takes the claim by; it is renewed until the block ends, then let go.

        Arguments:
            holder: who claims; a name that nobody else has by default. A holder takes its own claim again.
            ttl_s: how long after the end of this process it would still be held.

        Raises (when the block begins):
            AlreadyClaimed: somebody else holds it.
        """
        return ClaimUse(self._core, self.id, holder, ttl_s)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the ticket, and how far reads must be."""
        return Entity, (self._core, self.id)

    def __repr__(self) -> str:
        return f"Entity({self.id!r})"


class AsyncEntity:
    """What `Entity` is, for coroutines."""

    def __init__(self, core: Core, entity_id: str) -> None:
        self._core = core
        self.id = entity_id

    async def state(self) -> dict[str, Any] | None:
        """See `Entity.state`."""
        return (await self._core.home.thread.run_async(self._core.states([self.id])))[self.id]

    async def ask(self, message: Any, deadline_s: float = ASK_S) -> Any:
        """See `Entity.ask`."""
        return await self._core.home.thread.run_async(self._core.ask(self.id, message, deadline_s))

    async def tell(self, message: Any, *, event_id: str | None = None) -> Receipt:
        """See `Entity.tell`."""
        return await self._core.home.thread.run_async(self._core.tell(self.id, message, event_id))

    def watch(self) -> AsyncStates:
        """See `Entity.watch`; `async for state in entity.watch():`."""
        return AsyncStates(self._core, self.id)

    def claim(self, holder: str | None = None, ttl_s: float = CLAIM_S) -> AsyncClaimUse:
        """See `Entity.claim`; `async with entity.claim() as claimed:`."""
        return AsyncClaimUse(self._core, self.id, holder, ttl_s)

    def __reduce__(self) -> tuple[Any, ...]:
        """Travel with the ticket, and how far reads must be."""
        return AsyncEntity, (self._core, self.id)

    def __repr__(self) -> str:
        return f"AsyncEntity({self.id!r})"
