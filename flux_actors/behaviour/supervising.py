"""What follows a fault: try again after a while, stop the entity, or stop the behaviour of all entities."""

from __future__ import annotations

from enum import Enum, auto
from typing import Any

from flux_actors.behaviour.mailbox import Mailbox
from flux_actors.behaviour.wire import CYCLE, NO_CODE, TOO_MANY, Fault
from flux_actors.domain.acting.catalogue import Binding, Supervision

_NO_RETRY_HELPS = frozenset({CYCLE, TOO_MANY, NO_CODE})


class Follow(Enum):
    """What follows."""

    RETRY = auto()
    STOP = auto()
    ESCALATE = auto()


def judge(supervision: Supervision, fault: Fault, tries: int) -> Follow:
    """Return what follows a fault of a message that was tried `tries` times again before."""
    if supervision.strategy == "escalate":
        return Follow.ESCALATE
    if supervision.strategy == "stop" or fault.kind in _NO_RETRY_HELPS or tries >= supervision.retries:
        return Follow.STOP
    return Follow.RETRY


def rest_s(supervision: Supervision, tries: int) -> float:
    """Return how long a message rests that failed and was tried so often again before."""
    return min(supervision.backoff_s * 2.0**tries, supervision.backoff_s_max)


def facts(binding: Binding, kind: str, text: str, state: str, count: int) -> dict[str, Any]:
    """Return what marks an entity with a fault."""
    version = binding.version
    return {
        "behaviour": binding.name,
        "version": None if version is None else version.number,
        "kind": kind,
        "error": text,
        "state": state,
        "count": count,
    }


def facts_of(binding: Binding, mailbox: Mailbox, fault: Fault, state: str) -> dict[str, Any]:
    """Return what marks the entity of a mailbox."""
    return facts(binding, fault.kind, fault.text, state, mailbox.faults)
