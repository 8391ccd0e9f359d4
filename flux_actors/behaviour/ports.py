"""The ports of a dispatcher: the processes that run users' code, and whom an escalated fault is told."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from flux_actors.domain.acting.catalogue import Dedicated, Version


@dataclass(frozen=True, slots=True)
class Place:
    """Where the code of an entity runs: beside its shard, or for `entity_id` in a process of its own."""

    environment: str = ""  # digest of the runtime_env, "" for that of Flux
    entity_id: str = ""
    dedicated: Dedicated | None = field(default=None, hash=False)  # what that process asks Ray for
    node: str = ""  # the Ray node that it is pinned to

    @property
    def is_own(self) -> bool:
        """Whether it is of one entity alone."""
        return bool(self.entity_id)


NOBODY: Final = -1


class WorkerLost(Exception):
    """A worker ended with orders under way; `run` and `item` say at which, where that is known.

    `run` is `NOBODY` when it was at something else. Who has ended it should rest for `rest_s` at least, so
    that there is another one for the others, and a spare for the next try.
    """

    rest_s = 0.0

    def __init__(self, kind: str, text: str, run: int | None = None, item: int = 0) -> None:
        super().__init__(kind, text, run, item)
        self.kind = kind
        self.text = text
        self.run = run
        self.item = item


class CodeUnusable(Exception):
    """The code of a digest cannot be loaded, or not be had any more."""

    def __init__(self, digest: str, text: str) -> None:
        super().__init__(digest, text)
        self.digest = digest
        self.text = text


class Workers(Protocol):
    """Runs orders in worker processes, which it starts as they are needed."""

    async def run(self, place: Place, versions: dict[str, Version], orders: bytes, *, awaits: bool) -> bytes:
        """Return the results of orders whose code has the digests of `versions`; `awaits`: of coroutines.

        Raises:
            WorkerLost: its process ended, or was ended.
            CodeUnusable: one of the codes is no good.
            Unavailable: there is no process for it now; try again.
        """
        ...

    async def forget(self, place: Place, entity_ids: list[str]) -> None:
        """Have the instances of entities dropped; the process of an entity of its own ends."""
        ...

    def begin(self, place: Place) -> None:
        """Have a process started before it is needed; whether it can be is seen when it is."""
        ...

    def node(self, place: Place) -> str:
        """Return the Ray node on which a place is, `""` when it is not there."""
        ...

    async def close(self) -> None:
        """End all processes."""
        ...


Escalate = Callable[[str, int], Awaitable[None]]  # the name of a behaviour, and the number of its version
