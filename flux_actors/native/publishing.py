"""One event at a time: until it is durable, or decided."""

from __future__ import annotations

from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import Event, TermedEvent
from flux_actors.domain.json_text import check_numbers
from flux_actors.domain.position import Packed, text_of
from flux_actors.domain.terms import Terms
from flux_actors.errors import Refused, Unavailable
from flux_actors.feed.decisions import refusal_of
from flux_actors.log.block import encode_event
from flux_actors.native.link import Link
from flux_actors.native.reading import READ_S


async def commit(link: Link, event: Event) -> tuple[int, Packed]:
    """Return partition and position of an event once it is durable.

    Raises:
        Refused: it is too large, or cannot be encoded. Unavailable: it is not known to be durable.
    """
    try:
        encoded = encode_event(event)
    except (OverflowError, UnicodeError, TypeError) as error:
        check_numbers(event.payload())
        raise Refused(f"this event cannot be encoded ({error})") from None
    partition = link.partitioning.of_entity(event.entity_id or "")
    (outcome,) = await link.committer(partition).commit([encoded], termed=isinstance(event, TermedEvent))
    if isinstance(outcome, Unavailable):
        raise outcome
    return partition, outcome


async def commit_decided(link: Link, event: Event, terms: Terms) -> tuple[int, Packed]:
    """Return partition and position of an event that has a condition, once it was applied.

    Raises:
        Refused: 412, the condition was not met. Unavailable: that is not known.
    """
    await link.following.open()  # before it is published: else what is decided would not be heard
    partition, position = await commit(link, event)
    if await link.following.refused(partition, position, READ_S):
        entity_id = event.entity_id or ""
        row = (await link.reading.rows([entity_id], lambda _: position)).get(entity_id)
        raise refusal_of(event, terms, None if row is None else _shown(row, partition))
    return partition, position


def _shown(row: EntityRow, partition: int) -> dict[str, object]:
    """Return what stands there instead, as the one who was refused is told."""
    position = text_of(partition, Packed(row.position))
    return {"id": row.entity_id, "properties": row.properties, "position": position}
