"""A worker for tests: behaviours by their classes, orders from a few words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from flux_actors.behaviour.acting_entity import Asker
from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.code import digest_of, pack
from flux_actors.behaviour.handling import Handling, Progress
from flux_actors.behaviour.watchdog import Watchdog
from flux_actors.behaviour.wire import (
    Done,
    Effect,
    Orders,
    Question,
    Run,
    Work,
    decode_orders,
    decode_results,
    encode,
)
from flux_actors.domain.acting.messages import Message, MessageKind
from flux_actors.domain.event import Event, TermedEvent
from flux_actors.domain.position import pack as packed

ENTITY = "home/hall"
CLOCK_US = 1_700_000_000_000_000
NOW_MS = 1_800_000_000_000
PARTITION = 3
SETTLED = packed(2, 0)


class Clock:
    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


class Shelf:
    """Packed code by digest."""

    def __init__(self) -> None:
        self.codes: dict[str, bytes] = {}

    def put(self, cls: type[Behaviour]) -> str:
        data = pack(cls)
        digest = digest_of(data)
        self.codes[digest] = data
        return digest

    def code(self, digest: str) -> bytes | None:
        return self.codes.get(digest)


class Worker:
    """A `Handling` as its process has it: what goes in and comes out is encoded."""

    def __init__(
        self,
        watchdog: Watchdog,
        asker: Asker | None = None,
        progress: Progress | None = None,
        instances_max: int = 1_000,
    ) -> None:
        self.shelf = Shelf()
        self.clock = Clock()
        self.handling = Handling(
            self.shelf,
            watchdog,
            asker,
            progress=progress,
            instances_max=instances_max,
            clock_s=self.clock,
            now_ms=lambda: NOW_MS,
        )
        self._digests: dict[type[Behaviour], str] = {}

    def digest(self, cls: type[Behaviour]) -> str:
        if cls not in self._digests:
            self._digests[cls] = self.shelf.put(cls)
        return self._digests[cls]

    def run(self, cls: type[Behaviour], *items: Work | Question, entity_id: str = ENTITY) -> list[Done]:
        return self.run_all(Run(entity_id, self.digest(cls), list(items)))[0]

    def run_all(self, *runs: Run) -> list[list[Done]]:
        orders = decode_orders(encode(Orders(PARTITION, SETTLED, list(runs))))
        return decode_results(encode(self.handling.run(orders))).runs

    async def run_async(
        self, cls: type[Behaviour], *items: Work | Question, entity_id: str = ENTITY
    ) -> list[Done]:
        run = Run(entity_id, self.digest(cls), list(items))
        orders = decode_orders(encode(Orders(PARTITION, SETTLED, [run])))
        return decode_results(encode(await self.handling.run_async(orders))).runs[0]


def change(sequence: int = 7, entity_id: str = ENTITY, depth: int = 0, **properties: Any) -> Work:
    return Work(
        Message(
            packed(sequence, 1),
            entity_id,
            MessageKind.CHANGE,
            CLOCK_US,
            properties,
            properties,
            {},
            f"event-{sequence}",
            "test",
            depth,
        )
    )


def reminder(name: str, sequence: int = 7) -> Work:
    return Work(
        Message(packed(sequence, 0), ENTITY, MessageKind.REMINDER, CLOCK_US, {"on": True}, content=name)
    )


def told(content: Any, sequence: int = 7) -> Work:
    return Work(
        Message(packed(sequence, 0), ENTITY, MessageKind.TOLD, CLOCK_US, {"on": True}, content=content)
    )


def question(content: Any, ask_id: str = "ask-1", state: dict[str, Any] | None = None) -> Question:
    return Question(1, ENTITY, state, packed(6, 0), content, ask_id)


def events(effects: Iterable[Effect]) -> list[Event]:
    """Return effects as the log reads them: termed, or plain."""
    return [
        msgspec.msgpack.decode(effect.encoded, type=TermedEvent if _is_termed(effect) else Event)
        for effect in effects
    ]


def _is_termed(effect: Effect) -> bool:
    return len(msgspec.msgpack.decode(effect.encoded)) > len(Event.__struct_fields__)
