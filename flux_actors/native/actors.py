"""Looking after entities that act, from Ray code: `flux.actors.find()`, `flux.actors.restart(entity_id)`, ….

They need the admin token where the Flux has one: `FLUX_ADMIN_TOKEN`, or `admin_token=…`. All functions here
wait for their answer; in async code call them through `asyncio.to_thread`.
"""

from __future__ import annotations

from typing import Final

from flux_actors.behaviour.roster import ActorRow, ActorState
from flux_actors.native.deploying import ask_router

__all__ = ["ActorRow", "ActorState", "find", "kill", "pin", "restart", "stop", "unpin"]

ROWS: Final = 200


def find(prefix: str = "", *, limit: int = ROWS, admin_token: str | None = None) -> list[ActorRow]:
    """Return how entities with behaviours stand, by their ids.

    Where there are more than `limit`, those come of which there is something to tell: messages, faults,
    reminders, a process of their own.

    Arguments:
        prefix: how their ids begin.
        limit: how many rows at most.
        admin_token: of the Flux, where it has one; `FLUX_ADMIN_TOKEN` if left out.

    Raises:
        Refused: the token is not the admin's. Unavailable: a shard is away.
    """
    rows: list[ActorRow] = ask_router("actors", admin_token, prefix, limit)
    return rows


def kill(entity_id: str, *, admin_token: str | None = None) -> None:
    """End what runs of an entity's behaviour; its next message begins with a fresh instance.

    Of a dedicated actor the process ends, and a message that it was at is handled again. Of a hosted one the
    instance is dropped as soon as no handler runs. Nothing is lost: state and messages are the log's.

    Raises:
        Refused: it has no behaviour. Unavailable: its shard is away.
    """
    ask_router("act", admin_token, "kill", entity_id)


def restart(entity_id: str, *, admin_token: str | None = None) -> None:
    """Have an entity's behaviour begin anew, also one that a fault or `stop` has stopped.

    Raises:
        Refused: it has none, or it is stopped for all its entities: `resume(name)`. Unavailable: as above.
    """
    ask_router("act", admin_token, "restart", entity_id)


def stop(entity_id: str, *, admin_token: str | None = None) -> None:
    """Stop an entity's behaviour until `restart`: what waits for it, and what comes, is not handled.

    The entity itself goes on taking events, unless a reducer of its behaviour makes its state.

    Raises:
        Refused: it has none. Unavailable: its shard is away.
    """
    ask_router("act", admin_token, "stop", entity_id)


def pin(entity_id: str, node: str | None, *, admin_token: str | None = None) -> None:
    """Have an entity's dedicated actor live on one Ray node, and move there within a second.

    Arguments:
        entity_id: whose actor.
        node: its id, or how that begins; `None` is `unpin`.
        admin_token: as above.

    Raises:
        Refused: it is hosted, or there is no such node; the text names those that there are.
    """
    ask_router("pin", admin_token, entity_id, node)


def unpin(entity_id: str, *, admin_token: str | None = None) -> None:
    """Have an entity's dedicated actor live wherever there is room."""
    pin(entity_id, None, admin_token=admin_token)
