"""The mailbox of one entity at its dispatcher: what its behaviour has to do, one after the other."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from flux_actors.behaviour.calls import Answered, Failed
from flux_actors.behaviour.wire import Fault
from flux_actors.domain.acting.messages import Message

_ITEM_BYTES: Final = 300
_SIZED: Final = frozenset({str, bytes, list, dict})


@dataclass(slots=True, eq=False)
class Asked:
    """A question and whoever waits for its answer."""

    content: Any
    ask_id: str
    answer: asyncio.Future[Answered | Failed]

    @property
    def is_given_up(self) -> bool:
        """Whether nobody waits any more."""
        return self.answer.done()

    def tell(self, answer: Answered | Failed) -> None:
        """Answer it, if anybody waits."""
        if not self.is_given_up:
            self.answer.set_result(answer)


Item = Message | Asked


@dataclass(slots=True, eq=False)
class Mailbox:
    """What waits for one entity."""

    entity_id: str
    items: deque[Item] = field(default_factory=deque)
    busy: bool = False  # some of its items are with a worker, or about to be
    resting: bool = False  # a fault is waited out
    alone: bool = False  # its items go one by one: one of them has ended a worker
    killed: bool = False  # an operator has ended the process that its items are with
    away: str = ""  # why there is no worker for it
    aways: int = 0  # how often in a row
    tries: int = 0  # of the first item again, after it failed
    faults: int = 0
    fault: Fault | None = None  # the last one

    @property
    def is_blank(self) -> bool:
        """Whether nothing need be kept of it."""
        return not (self.items or self.busy or self.faults)

    def first(
        self, most: int, bytes_max: int, fits: Callable[[Item], bool] | None = None
    ) -> tuple[list[Item], int]:
        """Take out the first items that fit, but for questions that were given up; return their size, too."""
        taken: list[Item] = []
        items, size = self.items, 0
        while items and len(taken) < most and size < bytes_max:
            item = items[0]
            if type(item) is Asked and item.is_given_up:
                items.popleft()
                continue
            if fits is not None and not fits(item):
                break
            taken.append(items.popleft())
            size += size_of(item)
        return taken, size

    def questions(self) -> list[Asked]:
        """Take out all questions."""
        found = [item for item in self.items if isinstance(item, Asked)]
        if found:
            self.items = deque(item for item in self.items if not isinstance(item, Asked))
        return found

    def back(self, items: Sequence[Item]) -> None:
        """Put items back in front of all others."""
        self.items.extendleft(reversed(items))


def size_of(item: Item) -> int:
    """Return about how many bytes an item takes in orders."""
    size = _ITEM_BYTES
    state = item.after if type(item) is Message else None
    if state is not None:
        for value in state.values():
            if type(value) in _SIZED:
                size += len(value)
    return size
