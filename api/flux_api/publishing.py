"""From a client's JSON to durable events: the one implementation of the rules, for every way in."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import uuid_utils

from flux_actors.domain.event import Envelope, Event, parse_event, tombstone
from flux_actors.domain.json_text import check_depth, check_numbers
from flux_actors.domain.partitioning import Partitioning
from flux_actors.domain.position import Packed
from flux_actors.errors import FluxError, Refused, Unavailable
from flux_actors.log.block import encode_event
from flux_actors.log.committer import Committer
from flux_actors.log.ports import EventLog

_API_SOURCE: Final = "flux-api"


class Published(NamedTuple):
    """An event that is durable, and where."""

    event: Event
    partition: int
    position: Packed


Outcome = Published | FluxError


class Publisher:
    """Checks events and commits them through one committer per partition."""

    def __init__(self, log: EventLog, partitioning: Partitioning) -> None:
        self._partitioning = partitioning
        identity = secrets.randbits(63)
        self.committers = [
            Committer(log, partition, identity, _now_us) for partition in range(partitioning.partitions)
        ]

    async def publish(self, body: Any) -> Published:
        """Publish one event of a client.

        Raises:
            Refused: the event breaks a rule. Unavailable: it is not known to be durable.
        """
        (outcome,) = await self.commit([check_event(body)])
        if isinstance(outcome, FluxError):
            raise outcome
        return outcome

    async def publish_all(self, bodies: Iterable[Any]) -> list[Outcome]:
        """Publish many; each fails or lands alone, in the order of `bodies`."""
        return await self.commit([_checked(body) for body in bodies])

    async def delete_all(self, ids: Iterable[str]) -> list[Outcome]:
        """Publish a tombstone for each id."""
        now_ms = time.time_ns() // 1_000_000
        return await self.commit([tombstone(i, str(uuid_utils.uuid7()), now_ms, _API_SOURCE) for i in ids])

    async def commit(self, events: Sequence[Event | FluxError]) -> list[Outcome]:
        """Commit events, grouped by partition, and return what became of each in their order."""
        results: list[Outcome | None] = [None] * len(events)
        groups: dict[int, list[tuple[int, Event, bytes]]] = {}
        for index, event in enumerate(events):
            if isinstance(event, FluxError):
                results[index] = event
                continue
            encoded = self._encoded(event)
            if isinstance(encoded, FluxError):
                results[index] = encoded
                continue
            partition = self._partitioning.of_entity(event.entity_id or "")
            groups.setdefault(partition, []).append((index, event, encoded))
        await asyncio.gather(*(self._commit_group(p, group, results) for p, group in groups.items()))
        return [result for result in results if result is not None]

    async def close(self) -> None:
        """Let what is queued finish, take nothing new."""
        await asyncio.gather(*(committer.close() for committer in self.committers))

    async def _commit_group(
        self, partition: int, group: list[tuple[int, Event, bytes]], results: list[Outcome | None]
    ) -> None:
        try:
            outcomes = await self.committers[partition].commit([encoded for _, _, encoded in group])
        except FluxError as error:
            for index, _, _ in group:
                results[index] = error
            return
        for (index, event, _), outcome in zip(group, outcomes, strict=True):
            if isinstance(outcome, Unavailable):
                results[index] = outcome
            else:
                results[index] = Published(event, partition, outcome)

    def _encoded(self, event: Event) -> bytes | FluxError:
        try:
            encoded = encode_event(event)
        except OverflowError:
            return _number_error(event)
        size_max = self.committers[0].event_bytes_max
        if len(encoded) > size_max:
            return Refused(f"an event may have at most {size_max} bytes in this log", 413)
        return encoded


def check_event(body: Any) -> Event:
    """Return the event of one JSON value or raise `Refused`."""
    if not isinstance(body, dict):
        raise Refused("an event must be a JSON object")
    envelope = msgspec.convert(body, Envelope)
    return parse_event(envelope, time.time_ns() // 1_000_000, str(uuid_utils.uuid7()))


def _checked(body: Any) -> Event | FluxError:
    try:
        check_depth(body)
        return check_event(body)
    except Refused as error:
        return error


def _number_error(event: Event) -> Refused:
    try:
        check_numbers(event.payload())
    except Refused as error:
        return error
    return Refused("integers must fit in 64 bits")


def _now_us() -> int:
    return time.time_ns() // 1_000
