"""What the state machine asks of an engine; the in-memory twin and the real one both provide it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from tests.model.world import Acked, Draft, Observed, Place, Seen


class Driver(Protocol):
    """An engine to drive."""

    restarts_max: int  # in one example: a real restart takes seconds
    tells_refusals: bool  # whether one hears at once that a condition was not met
    writes_without_shards: bool  # whether a crash leaves doors and log alive

    def publish(self, draft: Draft, *, answer_lost: bool) -> Acked:
        """Publish one event; with `answer_lost` the first acknowledgement goes astray and it is retried."""
        ...

    def publish_batch(self, drafts: Sequence[Draft]) -> list[Acked]:
        """Publish many events at once; all of them land."""
        ...

    def publish_if(self, draft: Draft) -> Acked | None:
        """Publish an event with a condition; `None` when it is known to have been refused."""
        ...

    def publish_whole(self, drafts: Sequence[Draft]) -> list[Acked] | None:
        """Publish an atomic batch; `None` when it is known to have been refused."""
        ...

    def delete(self, entity_id: str) -> Acked:
        """Delete one entity."""
        ...

    def resend_block(self, entity_id: str) -> None:
        """Store the last block of the entity's partition a second time."""
        ...

    def read(self, entity_id: str) -> Seen | None:
        """Return the entity with all that was acknowledged."""
        ...

    def read_at(self, entity_id: str, place: Place) -> Seen | None:
        """Return the entity as it was behind the event at a place of its partition."""
        ...

    def deliver(self, turn: int, blocks: int) -> None:
        """Let one partition apply up to `blocks` blocks, ahead of the others."""
        ...

    def snapshot(self, turn: int, slices: int) -> None:
        """Work on a snapshot."""
        ...

    def crash(self) -> None:
        """Kill without a farewell."""
        ...

    def restart(self) -> None:
        """Start what the crash killed."""
        ...

    def observe(self, entity_ids: Sequence[str]) -> Observed:
        """Return what is visible of these entities."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...
