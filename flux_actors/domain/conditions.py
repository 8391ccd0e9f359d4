"""Whether an event with terms applies to an entity as it stands: the decision, and nothing else."""

from __future__ import annotations

from flux_actors.domain.claims import claim_applies, held_claim
from flux_actors.domain.entity import EntityActor
from flux_actors.domain.event import Event
from flux_actors.domain.terms import ABSENT, PRESENT, Terms


def applies(event: Event, terms: Terms, actor: EntityActor | None, partition: int, clock_us: int) -> bool:
    """Whether an event applies to an entity (`None`: nobody knows it) at the log's time `clock_us`."""
    leases = None if actor is None else actor.leases
    if terms.condition is not None and not _stands(terms.condition, actor, partition):
        return False
    if terms.claim is not None:
        properties = None if actor is None else actor.properties
        return claim_applies(terms.claim, held_claim(properties, leases, clock_us))
    if terms.reminder is not None:
        due_us = None if leases is None else leases.reminder_us(terms.reminder)
        return due_us is not None and due_us == terms.expires_us and due_us <= clock_us
    if terms.expires_us is not None:
        name = None if event.deletes else next(iter(event.properties or {}), None)
        running = None if leases is None else leases.deadline_us(name)
        return running == terms.expires_us <= clock_us
    if terms.owner is not None and (event.deletes or not event.properties):
        return leases is not None and leases.owner == terms.owner
    return True


def _stands(condition: tuple[int, int], actor: EntityActor | None, partition: int) -> bool:
    lives = actor is not None and actor.lives
    if condition in (ABSENT, PRESENT):
        return lives == (condition == PRESENT)
    return lives and actor is not None and (partition, actor.position) == condition
