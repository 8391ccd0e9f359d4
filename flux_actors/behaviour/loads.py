"""A load: what a worker gets in one call, and what comes back of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from flux_actors.behaviour.mailbox import Asked, Item, Mailbox
from flux_actors.behaviour.ports import NOBODY, CodeUnusable, WorkerLost
from flux_actors.behaviour.wire import NO_CODE, Done, Fault, Orders, Question, Run, Work, encode
from flux_actors.domain.acting.catalogue import Binding, Version
from flux_actors.domain.acting.messages import MessageKind
from flux_actors.errors import FluxError

_HANDLERS: Final = {
    MessageKind.CHANGE: "on_change",
    MessageKind.REMINDER: "on_reminder",
    MessageKind.TOLD: "on_tell",
}


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
                _question(share, number, item, standing) if isinstance(item, Asked) else Work(item)
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
    if len(runs) != len(load):
        raise ValueError(f"{len(runs)} results of {len(load)} runs")
    effects, handled = outcome.effects, outcome.handled
    for share, dones in zip(load, runs, strict=True):
        items, mailbox = share.items, share.mailbox
        for item, done in zip(items, dones, strict=False):
            if done.fault is not None:
                outcome.faults.append((share, item, done.fault))
                continue
            if done.effects:
                effects += [(effect.entity_id, effect.encoded) for effect in done.effects]
            if isinstance(item, Asked):
                outcome.answers.append((item, done.answer))
            else:
                mailbox.tries = 0
                handled.append(item.position)
        if len(dones) < len(items):
            mailbox.back(items[len(dones) :])
    return outcome


def put_back(load: list[Share], lost: WorkerLost) -> Share | None:
    """Put a load back whose worker was lost, but for what ended it: return whose first item that was."""
    blamed: Share | None = None
    only = load[0] if len(load) == 1 else None
    if only is not None and only.mailbox.killed:  # an operator did it, and nothing is wrong with it
        only.mailbox.killed = False
        lost.run = NOBODY
    elif lost.run is None and only is not None and len(only.items) == 1:
        lost.run, lost.item = 0, 0
    for number, share in enumerate(load):
        mailbox = share.mailbox
        if number != lost.run:
            mailbox.back(share.items)
        elif lost.item:
            mailbox.alone = True  # what it did before is lost as well, and is done again
            mailbox.back(share.items)
        else:
            mailbox.back(share.items[1:])
            blamed = share
    return blamed


def put_back_unusable(load: list[Share], error: CodeUnusable | FluxError) -> list[tuple[Share, Fault]]:
    """Put a load back whose code is no good: return whose first item failed for that."""
    blamed: list[tuple[Share, Fault]] = []
    for share in load:
        if isinstance(error, CodeUnusable) and share.version.digest != error.digest:
            share.mailbox.back(share.items)
            continue
        share.mailbox.back(share.items[1:])
        blamed.append(
            (share, Fault(NO_CODE, error.text if isinstance(error, CodeUnusable) else error.message))
        )
    return blamed


def awaited(version: Version, item: Item) -> bool:
    """Whether the handler of an item is a coroutine."""
    handler = "on_ask" if isinstance(item, Asked) else _HANDLERS[item.kind]
    return handler in version.awaits


def _question(share: Share, number: int, item: Asked, standing: Callable[[str], Standing]) -> Question:
    entity_id = share.mailbox.entity_id
    stands = standing(entity_id)
    return Question(number, entity_id, stands.properties, stands.position, item.content, item.ask_id)
