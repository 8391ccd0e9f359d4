"""What a shard and a worker process say to each other: orders and results, as msgpack."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_actors.domain.acting.messages import Message


class Question(msgspec.Struct, array_like=True, frozen=True, tag="question"):
    """What somebody asks an entity."""

    number: int  # which question this is, for the worker's answer
    entity_id: str
    state: dict[str, Any] | None
    position: int  # packed, of the last change of `state`
    content: Any
    ask_id: str  # its effects are named by it

    @property
    def after(self) -> dict[str, Any] | None:
        """The state, by the same name as that of a message."""
        return self.state


class Work(msgspec.Struct, array_like=True, frozen=True, gc=False, tag="work"):
    """A message to handle."""

    message: Message


class Run(msgspec.Struct, array_like=True, frozen=True):
    """What one entity is to do, one after the other."""

    entity_id: str
    digest: str  # of the code
    items: list[Work | Question]


class Orders(msgspec.Struct, array_like=True, frozen=True):
    """One call to a worker."""

    partition: int
    settled: int  # all messages of the partition in front of this packed position are done
    runs: list[Run]


class Effect(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """An event to publish: of which entity, and its bytes as a block holds them (with terms)."""

    entity_id: str
    encoded: bytes


class Fault(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Why an item could not be handled."""

    kind: str  # one of FAULTS
    text: str


class Done(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What came of one item."""

    effects: list[Effect] = []
    answer: Any = None
    fault: Fault | None = None  # then there are no effects, and the items behind it were not tried


class Results(msgspec.Struct, array_like=True, frozen=True):
    """The answer to `Orders`: of each run, what came of each item that was tried."""

    runs: list[list[Done]]


RAISED: Final = "raised"
TOO_LONG: Final = "too-long"
TOO_LARGE: Final = "too-large"  # memory
TOO_MANY: Final = "too-many-effects"
CYCLE: Final = "cycle"
NO_CODE: Final = "no-code"
LOST: Final = "lost"  # its process ended
FAULTS: Final = frozenset({RAISED, TOO_LONG, TOO_LARGE, TOO_MANY, CYCLE, NO_CODE, LOST})

encode: Final = msgspec.msgpack.Encoder().encode
decode_orders: Final = msgspec.msgpack.Decoder(Orders).decode
decode_results: Final = msgspec.msgpack.Decoder(Results).decode
