"""How one event of a log stands in its copy: as decided.

The copy has its events at other places than the log. So nothing in it may depend on where an event stands:
what the log decided when it applied the event is not asked again, and what names a place names the new one.

    condition, together   gone: the event applied
    claim                 an event that took one names its token, which was its position
    handled, order        the positions of messages are those that they have in the copy
    cause                 likewise; one whose message is not known any more is gone: the effect counted once
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final, NamedTuple

from msgspec.structs import replace

from flux_actors.domain.acting.causes import Cause
from flux_actors.domain.event import Event, with_terms
from flux_actors.domain.terms import ACQUIRE, Claim, Terms

_PLAIN: Final = Terms()
_DONE_KEPT: Final = 100_000  # messages whose names are kept after their work is done: effects may come late


class Place(NamedTuple):
    """Where something stands in a log."""

    partition: int
    position: int  # packed


class Names:
    """What messages to behaviours are called in the log, and in the copy."""

    def __init__(self) -> None:
        self._names: dict[Place, Place] = {}
        self._done: deque[Place] = deque()
        self.unnamed: set[Place] = set()  # messages that had effects before they had a name

    def note(self, place: Place, copied: Place) -> None:
        """Note under which name a message was copied."""
        self._names[place] = copied

    def of(self, place: Place) -> Place | None:
        """Return the name of a message in the copy, `None` when it is not known."""
        return self._names.get(place)

    def done(self, places: Iterable[Place]) -> None:
        """Note that the work of messages is done; the last ones are remembered all the same."""
        for place in places:
            self._done.append(place)
            if len(self._done) > _DONE_KEPT:
                self._names.pop(self._done.popleft(), None)


def carried(event: Event, terms: Terms, place: Place, names: Names) -> Event:
    """Return an event with terms, which applied at a place of the log, as it stands in the copy."""
    kept = replace(
        terms,
        condition=None,
        together=0,
        claim=_claim(terms.claim, place.position),
        cause=None if terms.cause is None else _cause(terms.cause, names),
    )
    if kept != _PLAIN or not (terms.condition or terms.together or terms.cause):
        return with_terms(event, kept)
    return Event(*(getattr(event, name) for name in Event.__struct_fields__))


def _claim(claim: Claim | None, position: int) -> Claim | None:
    if claim is None or claim.verb != ACQUIRE or claim.token is not None:
        return claim
    return replace(claim, token=position)


def _cause(cause: Cause, names: Names) -> Cause | None:
    place = Place(cause.partition, cause.position)
    copied = names.of(place)
    if copied is None:
        names.unnamed.add(place)
        return None
    # What is settled in a partition of the log says nothing of one of the copy: others' messages are there.
    return replace(cause, partition=copied.partition, position=copied.position, settled=0)
