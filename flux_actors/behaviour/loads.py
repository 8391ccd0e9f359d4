"""A load: what a worker gets in one call, and what comes back of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from flux_actors.behaviour.mailbox import Asked, Item, Mailbox
from flux_actors.behaviour.wire import Done, Fault, Orders, Question, Run, Work, encode
from flux_actors.domain.acting.catalogue import Binding, Version
from flux_actors.domain.acting.messages import Message


class Share(NamedTuple):
    """What one entity has in a load."""

    mailbox: Mailbox
    binding: Binding
    version: Version
    items: list[Item]
    size: int  # about how many bytes it takes in orders


class Standing(NamedTuple):
    """How an entity stands."""

    properties: dict[str, Any] | None
    position: int


@dataclass(slots=True)
class Outcome:
    """What came of a load."""

    effects: list[tuple[str, bytes]] = field(default_factory=list)  # entity id and event
    handled: list[int] = field(default_factory=list)
    answers: list[tuple[Asked, Any]] = field(default_factory=list)
    faults: list[tuple[Share, Item, Fault]] = field(default_factory=list)


def orders_of(partition: int, settled: int, load: list[Share], standing: Callable[[str], Standing]) -> bytes:
    """Return the orders for a load; a question goes with the state of its entity as it is now."""
    runs = [
        Run(
            share.mailbox.entity_id,
            share.version.digest,
            [
                Work(item) if type(item) is Message else _question(share, number, item, standing)
                for number, item in enumerate(share.items)
            ],
        )
        for share in load
    ]
    return encode(Orders(partition, settled, runs))


def versions_of(load: list[Share]) -> dict[str, Version]:
    """Return the versions whose code a load needs, by digest."""
    return {share.version.digest: share.version for share in load}


def outcome_of(load: list[Share], runs: list[list[Done]]) -> Outcome:
    """Return what came of a load; what was not tried is put back."""
    outcome = Outcome()
    effects, handled = outcome.effects, outcome.handled
    for share, dones in zip(load, runs, strict=True):
        items, mailbox = share.items, share.mailbox
        for item, done in zip(items, dones, strict=False):
            if done.fault is not None:
                outcome.faults.append((share, item, done.fault))
                continue
            if done.effects:
                effects += [(effect.entity_id, effect.encoded) for effect in done.effects]
            if type(item) is Message:
                mailbox.tries = 0
                handled.append(item.position)
            elif type(item) is Asked:
                outcome.answers.append((item, done.answer))
        if len(dones) < len(items):
            mailbox.back(items[len(dones) :])
    return outcome


def _question(share: Share, number: int, item: Item, standing: Callable[[str], Standing]) -> Question:
    assert type(item) is Asked
    entity_id = share.mailbox.entity_id
    stands = standing(entity_id)
    return Question(number, entity_id, stands.properties, stands.position, item.content, item.ask_id)
