"""The events that a dispatcher writes about its own work: what is done, who is stopped, and faults."""

from __future__ import annotations

import uuid
from hashlib import blake2b
from typing import Any, Final

from flux_actors import limits
from flux_actors.domain.acting.faults import fault_id
from flux_actors.domain.clock import iso_of
from flux_actors.domain.event import Event, server_event, with_terms
from flux_actors.domain.position import Packed, text_of
from flux_actors.domain.terms import BEHAVIOUR_SOURCE, START, STOP, Order, Terms
from flux_actors.log.block import encode_event

STREAM: Final = "flux.behaviours"
RETRYING: Final = "retrying"
STOPPED: Final = "stopped"
GOES_ON: Final = "goes-on"


def handled_event(partition: int, positions: list[int], now_us: int) -> bytes:
    """Return the event that says that messages are done."""
    return _note(Terms(handled=positions), f"handled.{partition}.{positions[-1]}", now_us)


def stop_event(order: Order, now_us: int) -> bytes:
    """Return the event that stops an entity's behaviour."""
    digest = blake2b(order.entity_id.encode(), digest_size=8).hexdigest()
    return _note(Terms(order=order), f"stop.{order.position}.{digest}", now_us)


def start_event(entity_id: str, now_us: int) -> bytes:
    """Return the event that starts it again."""
    return _note(Terms(order=Order(START, entity_id)), f"start.{uuid.uuid4()}", now_us)


def stop_order(entity_id: str, fault: str, position: int) -> Order:
    """Return the order to stop an entity's behaviour."""
    return Order(STOP, entity_id, fault[: limits.fault_chars_max], position)


def fault_event(partition: int, entity_id: str, position: int, now_us: int, facts: dict[str, Any]) -> Event:
    """Return the event that marks an entity with a fault."""
    properties = facts | {
        "entity_id": entity_id,
        "position": text_of(partition, Packed(position)),
        "at": iso_of(now_us),
    }
    event_id = f"fault.{partition}.{position}.{uuid.uuid4()}"
    return server_event(fault_id(entity_id), properties, event_id, now_us // 1_000, BEHAVIOUR_SOURCE, STREAM)


def _note(terms: Terms, event_id: str, now_us: int) -> bytes:
    event = Event(
        None,
        None,
        event_id,
        named_by_client=False,
        source=BEHAVIOUR_SOURCE,
        stream=STREAM,
        timestamp_ms=now_us // 1_000,
    )
    return encode_event(with_terms(event, terms))
