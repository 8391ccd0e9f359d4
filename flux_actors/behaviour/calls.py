"""What a client inside the cluster asks a shard over the bus: requests to `flux.call.<partition>`.

The subject goes by partition, so whoever hosts it hears; nobody looks up where that is. An answer says by
which positions the asker's later reads must be, so that it sees what its question has caused.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_actors.domain.entity import EntityRow


class Ask(msgspec.Struct, array_like=True, frozen=True, tag="ask"):
    """Ask an entity's behaviour."""

    entity_id: str
    content: Any
    ask_id: str
    after: int = 0  # packed position that must be applied before
    deadline_s: float = 5.0


class Read(msgspec.Struct, array_like=True, frozen=True, tag="read"):
    """Read entities of the partition."""

    ids: list[str]
    after: int = 0
    deadline_s: float = 5.0


class Answered(msgspec.Struct, array_like=True, frozen=True, tag="answered"):
    """What the behaviour said, and where its effects stand: packed positions by partition."""

    content: Any
    positions: dict[int, int] = {}


class Rows(msgspec.Struct, array_like=True, frozen=True, tag="rows"):
    """The living ones of the entities, as they are at `sequence`."""

    sequence: int
    rows: list[EntityRow]


class Failed(msgspec.Struct, array_like=True, frozen=True, tag="failed"):
    """Why there is no answer."""

    kind: str  # one of those below
    text: str
    retry_after_s: int = 0


REFUSED: Final = "refused"  # there is no behaviour, or it cannot be asked
FAULTED: Final = "faulted"  # the handler failed
STOPPED: Final = "stopped"  # a fault has stopped the entity's behaviour
LATE: Final = "late"  # no answer within the deadline
AWAY: Final = "away"  # the partition recovers or moves; ask again

encode: Final = msgspec.msgpack.Encoder().encode
decode_request: Final = msgspec.msgpack.Decoder(Ask | Read).decode
decode_answer: Final = msgspec.msgpack.Decoder(Answered | Rows | Failed).decode


def call_subject(partition: int) -> str:
    """Return where the requests of a partition go."""
    return f"flux.call.{partition}"
