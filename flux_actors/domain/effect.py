"""What an event that was applied did to its entity, told from the event alone.

The fold decides whether an event is applied. Of one that was, no more is needed than its place and the log's
clock to say what it did: so an entity's past can be told from the events at its positions.
"""

from __future__ import annotations

from typing import Any

from flux_actors.domain.claims import claim_effect
from flux_actors.domain.event import Event, terms_in


def effect_of(event: Event, position: int, clock_us: int) -> dict[str, Any] | None:
    """Return the properties that an applied event sets, none or some, or `None` for a deletion."""
    terms = terms_in(event)
    if terms is not None and terms.claim is not None:
        return claim_effect(terms.claim, position, clock_us)
    return None if event.deletes else event.properties or {}
