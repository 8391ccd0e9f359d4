"""Terms: what an event asks for beside its properties, decided in log order when it is applied.

    condition     it applies only if its entity stands at a position, is absent, or is present
    together      it is the first of so many events that apply all or none
    ttl_ms, …     the entity, or some of its properties, end after that time unless they are renewed
    owner         the entity lives as long as the socket of that name (presence)
    claim         one holder at a time (domain/claims.py)
    expires_us    it ends a lease that has this deadline: made by a shard when that is due
    reminder      … and the lease is the reminder of that name: its behaviour is told
    remind        reminders of the entity: by name, in how many milliseconds; 0 takes one away
    told          a message to the entity's behaviour
    cause         it is an effect of a message, and counts once (domain/acting/causes.py)
    control       the catalogue of behaviours that holds from here on
    handled       positions of messages whose work is done
    order         stops or starts the behaviour of an entity

Few events have any. A block with one that does is of its own version, so plain blocks stay as they are.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.position import parse
from flux_actors.errors import Refused

_NOBODY: Final = -1
ABSENT: Final = (_NOBODY, 0)
PRESENT: Final = (_NOBODY, 1)
Condition = tuple[int, int]  # partition and packed position, or one of the two above

CLAIM: Final = "claim"  # the property that holds the claim on its entity
PRESENCE_SOURCE: Final = "flux-presence"
LEASE_SOURCE: Final = "flux-leases"
BEHAVIOUR_SOURCE: Final = "flux-behaviours"  # of what is noted about them; their effects have their own names
SERVER_SOURCES: Final = frozenset(
    {PRESENCE_SOURCE, LEASE_SOURCE, BEHAVIOUR_SOURCE}
)  # of events that nobody publishes

ACQUIRE: Final = "acquire"
RENEW: Final = "renew"
RELEASE: Final = "release"

STOP: Final = "stop"
START: Final = "start"


class Claim(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """What somebody wants of the claim on an entity."""

    verb: str
    holder: str
    ttl_ms: int = 0
    token: int | None = None  # of the claim that is renewed or released


class Order(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Stops or starts the behaviour of an entity."""

    verb: str
    entity_id: str
    fault: str = ""  # why it is stopped; "" when somebody wants it
    position: int = 0  # packed, of the message that failed
    state: dict[str, Any] | None = None
    sets_state: bool = False  # the entity is as `state` says: the event that failed could not be decided on


class Terms(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """The terms of one event."""

    condition: Condition | None = None
    together: int = 0
    ttl_ms: int | None = None  # 0 takes a lease away
    property_ttl_ms: dict[str, int] | None = None
    owner: str | None = None
    claim: Claim | None = None
    expires_us: int | None = None
    reminder: str | None = None
    remind: dict[str, int] | None = None
    told: Any = None
    cause: Cause | None = None
    control: Catalogue | None = None
    handled: list[int] | None = None
    order: Order | None = None

    @property
    def is_note(self) -> bool:
        """Whether the event is a note about behaviours alone."""
        return self.control is not None or self.handled is not None or self.order is not None

    @property
    def is_silent(self) -> bool:
        """Whether an event that sets nothing is in no history: it only keeps a lease, or a reminder."""
        return self.owner is not None or self.remind is not None or self.reminder is not None

    @property
    def decides(self) -> bool:
        """Whether the event may be refused when it is applied, and somebody wants to know."""
        return self.condition is not None or self.claim is not None or self.together > 0


def terms_of(payload: dict[str, Any], condition: Condition | None = None) -> Terms | None:
    """Return the terms that a payload and a condition state, `None` when they state none.

    Raises:
        Refused: a time to live is none.
    """
    ttl_ms, property_ttl_ms = payload.get("ttl_ms"), payload.get("property_ttl_ms")
    if condition is None and ttl_ms is None and property_ttl_ms is None:
        return None
    if payload.get("entity_id") is None:
        if condition is not None:
            raise Refused("a condition needs payload.entity_id: it is about an entity")
        return None  # an event of no entity may hold what it likes
    if ttl_ms is not None:
        check_ttl(ttl_ms, "payload.ttl_ms")
    if property_ttl_ms is not None:
        if not isinstance(property_ttl_ms, dict):
            raise Refused('payload.property_ttl_ms must be an object such as {"typing":5000}')
        for name, value in property_ttl_ms.items():
            check_ttl(value, f"payload.property_ttl_ms[{name[:64]!r}]")
        if CLAIM in property_ttl_ms:
            raise Refused(
                "payload.property_ttl_ms cannot name claim: POST /api/claims says how long it lasts"
            )
    return Terms(condition, 0, ttl_ms, property_ttl_ms or None)


def check_ttl(value: object, name: str, least: int = 0) -> int:
    """Return a time to live; raise `Refused` for what is none."""
    most = limits.ttl_ms_max
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Refused(f"{name} must be a whole number of milliseconds from {least} to {most}")
    return value


def read_condition(value: object) -> Condition:
    """Return the condition that a client states: `{"etag": …}`, `{"absent": true}` or `{"present": true}`.

    Raises:
        Refused: it is none of them.
    """
    match value:
        case {"etag": str(text), **rest} if not rest:
            return condition_of_etag(text)
        case {"absent": True, **rest} if not rest:
            return ABSENT
        case {"present": True, **rest} if not rest:
            return PRESENT
    raise Refused('condition must be {"etag":"…"}, with the ETag of a read, or {"absent":true}')


def condition_of_etag(text: str) -> Condition:
    """Return the condition that an entity stands where an ETag says; raises `Refused` for what is none."""
    try:
        (found,) = parse(text, limits.partitions_max).items()
    except (Refused, ValueError):
        raise Refused(f"{text[:64]!r} is no ETag: send one that a read of the entity gave") from None
    return found
