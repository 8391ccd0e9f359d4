"""Flux Actors: a persistent, shared world state for agents, on Ray.

The engine. `domain` decides (pure), `log` remembers, `snapshot` shortens recovery, `shard` hosts the
entity actors, `router` places them, `behaviour` has them act, `native` is for code on the same Ray cluster,
`client` and `cli` are for users elsewhere. The HTTP surface is `flux_api`, starting and stopping is
`flux_cluster`. Only the log changes state: state = fold(log).

What users import stands here by name, and is loaded when it is first used: `import flux_actors as flux`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flux_actors.behaviour.behaviour import Behaviour
    from flux_actors.domain.acting.catalogue import Bounds, Dedicated, Supervision
    from flux_actors.errors import (
        AlreadyClaimed,
        AskFailed,
        AskTimedOut,
        Corrupt,
        FluxError,
        HandlerFailed,
        NotAllDurable,
        NotAskable,
        Refused,
        Unavailable,
    )
    from flux_actors.native import actors, shards
    from flux_actors.native.actors import pin
    from flux_actors.native.aio import AsyncFlux, connect_async
    from flux_actors.native.deploying import behaviours, deploy, promote, remove, resume, rollback
    from flux_actors.native.entity import AsyncEntity, Claimed, Entity
    from flux_actors.native.flux import Flux, connect, live
    from flux_actors.native.history import FluxHistory
    from flux_actors.native.live import Live
    from flux_actors.native.receipts import Receipt, Receipts
    from flux_actors.native.sink import FluxSink
    from flux_actors.native.watch import State

__version__ = "0.1.0"

__all__ = [
    "AlreadyClaimed",
    "AskFailed",
    "AskTimedOut",
    "AsyncEntity",
    "AsyncFlux",
    "Behaviour",
    "Bounds",
    "Claimed",
    "Corrupt",
    "Dedicated",
    "Entity",
    "Flux",
    "FluxError",
    "FluxHistory",
    "FluxSink",
    "HandlerFailed",
    "Live",
    "NotAllDurable",
    "NotAskable",
    "Receipt",
    "Receipts",
    "Refused",
    "State",
    "Supervision",
    "Unavailable",
    "actors",
    "behaviours",
    "connect",
    "connect_async",
    "deploy",
    "live",
    "pin",
    "promote",
    "remove",
    "resume",
    "rollback",
    "shards",
]

_PLACES: Final = {
    "AlreadyClaimed": "errors",
    "AskFailed": "errors",
    "AskTimedOut": "errors",
    "AsyncEntity": "native.entity",
    "AsyncFlux": "native.aio",
    "Behaviour": "behaviour.behaviour",
    "Bounds": "domain.acting.catalogue",
    "Claimed": "native.entity",
    "Corrupt": "errors",
    "Dedicated": "domain.acting.catalogue",
    "Entity": "native.entity",
    "Flux": "native.flux",
    "FluxError": "errors",
    "FluxHistory": "native.history",
    "FluxSink": "native.sink",
    "HandlerFailed": "errors",
    "Live": "native.live",
    "NotAllDurable": "errors",
    "NotAskable": "errors",
    "Receipt": "native.receipts",
    "Receipts": "native.receipts",
    "Refused": "errors",
    "State": "native.watch",
    "Supervision": "domain.acting.catalogue",
    "Unavailable": "errors",
    "behaviours": "native.deploying",
    "connect": "native.flux",
    "connect_async": "native.aio",
    "deploy": "native.deploying",
    "live": "native.flux",
    "pin": "native.actors",
    "promote": "native.deploying",
    "remove": "native.deploying",
    "resume": "native.deploying",
    "rollback": "native.deploying",
}


def __getattr__(name: str) -> Any:
    """Load what is asked for."""
    if name in {"actors", "shards"}:
        return import_module(f"flux_actors.native.{name}")
    place = _PLACES.get(name)
    if place is None:
        raise AttributeError(f"flux_actors has no {name!r}")
    return getattr(import_module(f"flux_actors.{place}"), name)


def __dir__() -> list[str]:
    """Return what there is, loaded or not."""
    return sorted([*globals(), *__all__])
