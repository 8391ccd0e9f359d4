"""Shards, from Ray code: `flux.shards.look()`, `flux.shards.scale(3)`.

They need the admin token where the Flux has one: `FLUX_ADMIN_TOKEN`, or `admin_token=…`. The functions here
wait for their answer; in async code call them through `asyncio.to_thread`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from flux_actors.native.deploying import ask_router

__all__ = ["Moving", "ShardRow", "Shards", "look", "scale"]


class ShardRow(NamedTuple):
    """One shard."""

    shard: str
    node: str  # of Ray; empty when it is not known
    partitions: list[int]
    entities: int
    events: int


class Moving(NamedTuple):
    """A partition on its way from one shard to another."""

    partition: int
    source: str
    target: str
    left: int  # how many are to move, this one included


class Shards(NamedTuple):
    """All shards, and what is still to be done until they are as many as wanted and carry alike."""

    rows: list[ShardRow]
    wanted: int
    moving: Moving | None
    done: bool


def look(*, admin_token: str | None = None) -> Shards:
    """Return the shards and what moves between them.

    Raises:
        Refused: the token is not the admin's. Unavailable: the router does not answer.
    """
    found: dict[str, Any] = ask_router("shards", admin_token)
    parts = {part["partition"]: part for rows in found["shards"].values() for part in rows}
    rows = [
        _row(name, found["nodes"].get(name, ""), [parts[p] for p in partitions if p in parts], partitions)
        for name, partitions in found["placed"].items()
    ]
    moving = found["moving"]
    move = moving and Moving(moving["partition"], moving["source"], moving["target"], found["moves_left"])
    return Shards(sorted(rows), found["wanted"], move or None, found["even"])


def scale(shards: int, *, admin_token: str | None = None) -> None:
    """Have so many shards; partitions then move between them one by one, and `look` tells how far that is.

    Writes go on meanwhile, and reads wait some milliseconds when their partition changes hands. The number
    holds until Flux or its router starts again, or the log is repartitioned; then there are as many as the
    settings say.

    Raises:
        Refused: there are fewer partitions than that, or the token is not the admin's.
    """
    ask_router("scale", admin_token, shards)


def _row(name: str, node: str, parts: list[dict[str, Any]], partitions: list[int]) -> ShardRow:
    entities = sum(part["entities"] for part in parts)
    return ShardRow(name, node, partitions, entities, sum(part["events_total"] for part in parts))
