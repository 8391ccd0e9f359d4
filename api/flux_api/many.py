"""Many entities in one answer, put together from the bytes that each is rendered to already."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from flux_actors import limits
from flux_actors.errors import Refused
from flux_api.cached import CachedEntity
from flux_api.view import LiveView

_encode = msgspec.json.Encoder().encode


def entities_body(view: LiveView, ids: list[Any]) -> bytes | None:
    """Return the answer to a read of `ids`, as a client sent them, `None` when the view lacks one of them.

    An id that the view knows is one, so it needs no check: 100 ids take 13 µs. What must be refused is
    `None` too: the way by which missing ones are fetched checks first, and says why.
    """
    if len(ids) > limits.get_many_ids_max:
        return None
    try:
        entities = [view.kept(entity_id) for entity_id in ids]
    except TypeError:
        return None  # a list or an object in the place of an id
    found = [entity for entity in entities if entity is not None]
    if len(found) < len(ids):
        return None
    view.hits += len(found)
    return body_of(found)


def body_of(entities: list[CachedEntity], shown: Callable[[CachedEntity], bool] = lambda _: True) -> bytes:
    """Return those that exist and are shown, in the order given, and the ids of the others.

    Raises:
        Refused: together they are too large for one answer.
    """
    living = [entity for entity in entities if entity.properties is not None and shown(entity)]
    bodies = [entity.body() for entity in living]
    size = sum(map(len, bodies))
    if size > limits.get_many_bytes_max:  # an id may be asked for again and again
        raise Refused(
            f"these entities are {size} bytes together, more than the {limits.get_many_bytes_max} that one "
            "call returns; ask for fewer at a time"
        )
    missing = b"[]"
    if len(bodies) < len(entities):
        missing = _encode([e.entity_id for e in entities if e.properties is None or not shown(e)])
    return b'{"entities":[%b],"missing":%b}' % (b",".join(bodies), missing)
