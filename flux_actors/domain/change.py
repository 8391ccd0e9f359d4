"""What an applied event did to an entity, as the feed carries it."""

from __future__ import annotations

from typing import Any

import msgspec

from flux_actors.domain.position import Packed


class Change(msgspec.Struct, array_like=True, frozen=True):
    """One event's effect: properties that were set, or `None` when the entity was deleted."""

    position: int
    entity_id: str
    properties: dict[str, Any] | None
    clock_us: int

    @property
    def packed(self) -> Packed:
        """Return the position as its own type."""
        return Packed(self.position)


# A change as the fold makes it: the fields of `Change` in a tuple, which costs a third of a Struct.
# In an actor's mailbox it is a step; there `{}` stands for an event that changes nothing.
Step = tuple[int, str, dict[str, Any] | None, int]


class _Feed(msgspec.Struct, array_like=True, frozen=True):
    partition: int
    epoch: int
    after: int
    sequence: int
    pending: int  # blocks in the log that this shard has not pulled yet
    events_total: int
    entities: int
    sources: list[str]


class FeedMessage(_Feed, array_like=True, frozen=True):
    """All changes of the blocks after sequence `after` up to `sequence`, in log order.

    Without changes it is a heartbeat: it tells how far the shard is and lets doors notice a gap.
    """

    changes: list[Change]


class FeedDraft(_Feed, array_like=True, frozen=True):
    """A feed message as a shard writes it; read back it is a `FeedMessage`."""

    changes: list[Step]


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(FeedMessage)


def encode_feed(message: FeedMessage | FeedDraft) -> bytes:
    """Return the bytes of a feed message."""
    return _encoder.encode(message)


def decode_feed(data: bytes) -> FeedMessage:
    """Return the feed message of `data`."""
    return _decoder.decode(data)
