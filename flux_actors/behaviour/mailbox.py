"""The mailbox of one entity at its dispatcher: what its behaviour has to do, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from flux_actors.behaviour.wire import Fault
from flux_actors.domain.acting.messages import Message


@dataclass(slots=True, eq=False)
class Asked:
    """A question and whoever waits for its answer."""

    content: Any
    ask_id: str
    answer: asyncio.Future[Any]  # of `Answered` or `Failed`

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits any more."""
        return self.answer.done()


Item = Message | Asked


@dataclass(slots=True, eq=False)
class Mailbox:
    """What waits for one entity."""

    entity_id: str
    items: deque[Item] = field(default_factory=deque)
    busy: bool = False  # some of its items are with a worker, or a fault is waited out
    tries: int = 0  # of the first item, that failed
    faults: int = 0
    fault: Fault | None = None  # the last one
    used_at: float = 0.0

    def first(self, most: int) -> list[Item]:
        """Take out the first items, but for questions that were given up."""
        taken: list[Item] = []
        while self.items and len(taken) < most:
            item = self.items.popleft()
            if not (isinstance(item, Asked) and item.is_given_up):
                taken.append(item)
        return taken

    def back(self, items: list[Item]) -> None:
        """Put items back in front of all others."""
        self.items.extendleft(reversed(items))
