"""Atomic batches: events that apply at one position, all or none.

They go into the log as one piece of one block, the first of them saying how many belong together. So they
have to be of one namespace, in one partition, and no more than a block takes.
"""

from __future__ import annotations

from typing import Final

import msgspec

from flux_actors.domain.entity_id import namespace_of
from flux_actors.domain.event import Event, terms_in, with_terms
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.terms import Terms
from flux_actors.errors import FluxError, Refused
from flux_actors.log.block import encode_events
from flux_actors.log.committer import Committer

_ANOTHER: Final = "not published: another event of this atomic batch was refused"


def made_whole(
    events: list[Event | FluxError], partitioning: Partitioning, committer: Committer
) -> list[Event | FluxError]:
    """Return events that belong together; if one of them was refused, all of them are.

    Raises:
        Refused: they cannot be kept together.
    """
    good = [event for event in events if isinstance(event, Event)]
    if len(good) < len(events):
        return [event if isinstance(event, FluxError) else Refused(_ANOTHER) for event in events]
    _check_one_place(good, partitioning)
    first, *others = good
    terms = msgspec.structs.replace(terms_in(first) or Terms(), together=len(good))
    _check_size([with_terms(first, terms), *others], committer)
    return [with_terms(first, terms), *others]


def _check_one_place(events: list[Event], partitioning: Partitioning) -> None:
    ids = [event.entity_id for event in events]
    if None in ids:
        raise Refused("each event of an atomic batch needs payload.entity_id")
    namespaces = {namespace_of(entity_id or "") for entity_id in ids}
    if len(namespaces) > 1:
        named = ", ".join(sorted(namespaces)[:3])
        raise Refused(f"an atomic batch must be of one namespace, this one names {named}; split it")
    if len(set(partitioning.of_entities(ids))) > 1:
        raise Refused(
            f"namespace {namespaces.pop()} is spread over several partitions, and an atomic batch must be "
            "in one; send it without atomic, or keep what changes together in a namespace that is not spread"
        )


def check_count(events: int, committer: Committer) -> None:
    """Raise `Refused` (413) for more events than can be kept together."""
    if events > committer.piece_events_max:
        raise Refused(f"an atomic batch may have at most {committer.piece_events_max} events; split it", 413)


def _check_size(events: list[Event], committer: Committer) -> None:
    check_count(len(events), committer)
    try:
        size = len(encode_events(events))
    except OverflowError:
        raise Refused("integers must fit in 64 bits") from None
    if size > committer.piece_bytes_max:
        raise Refused(f"an atomic batch may take at most {committer.piece_bytes_max} bytes; split it", 413)
