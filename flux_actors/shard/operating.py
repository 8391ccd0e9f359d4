"""What operators see of a partition's entities that act, and what they may have done to them."""

from __future__ import annotations

from typing import Final

import msgspec

from flux_actors.behaviour.roster import ActorRow, roster
from flux_actors.errors import Refused
from flux_actors.shard.partition import HostedPartition

KILL: Final = "kill"
RESTART: Final = "restart"
STOP: Final = "stop"
VERBS: Final = (KILL, RESTART, STOP)
_CONFLICT: Final = 409
_NOT_FOUND: Final = 404

_decode_rows = msgspec.msgpack.Decoder(list[ActorRow]).decode


async def actors(host: HostedPartition, prefix: str, rows_max: int) -> bytes:
    """Return up to `rows_max` encoded rows of entities with behaviours."""
    return msgspec.msgpack.encode(await roster(host.readable(), host.acts(), host.index, prefix, rows_max))


def decode_actors(data: bytes) -> list[ActorRow]:
    """Return the rows that `actors` encoded."""
    return _decode_rows(data)


async def act_on(host: HostedPartition, verb: str, entity_id: str) -> None:
    """Kill, restart or stop the behaviour of an entity; return when that holds.

    Raises:
        Refused: it has none, or there is no such verb.
    """
    dispatcher = host.acts()
    binding = dispatcher.binding(entity_id)
    if binding.version is None:
        raise Refused(
            f"{entity_id[:200]!r} has no behaviour; `flux behaviours list` tells which ids have one",
            _NOT_FOUND,
        )
    match verb:
        case "kill":
            await dispatcher.operating.kill(entity_id)
        case "restart":
            if binding.deployed is not None and binding.deployed.stopped:
                raise Refused(
                    f"the behaviour {binding.name} is stopped for all its entities; "
                    f"`flux behaviours resume {binding.name}` starts it again",
                    _CONFLICT,
                )
            await dispatcher.operating.start(entity_id)
        case "stop":
            await dispatcher.operating.stop(entity_id)
        case _:
            raise Refused(f"{verb[:64]!r} is nothing that can be done; {', '.join(VERBS)} are")
    await host.reached(dispatcher.written())
