"""From what a poll found to events of the log: only what changed, each change once.

A writer knows a digest of what it last wrote of each entity. What it does not know (after a start, or after a
write without an answer) it asks the shards for, once they have applied all that the log holds: so a new actor
writes nothing that its dead predecessor wrote already, and puts right what somebody else deleted.

A change keeps its eventId until it is known to be durable. When a write got no answer and the same change is
written again, the log's dedupe window drops the second.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from flux_actors import limits
from flux_actors.connectors.base import Found, Properties
from flux_actors.domain.entity_id import check_entity_id, check_not_core
from flux_actors.domain.event import DELETE_STREAM, DELETED, Event
from flux_actors.domain.json_text import check_numbers, parse_json
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import encode_event
from flux_actors.log.committer import Committer

_GONE: Final = b""  # the digest of an entity that is not there
_DIGEST_BYTES: Final = 16
_encode = msgspec.json.Encoder(order="deterministic").encode


class States(Protocol):
    """What Flux holds now."""

    async def properties(self, ids: Sequence[str]) -> dict[str, Properties]:
        """Return the properties of those that exist, with all that the log holds applied.

        Raises:
            Unavailable: a shard cannot be asked now.
        """
        ...


class _Change(NamedTuple):
    entity_id: str
    text: bytes | None  # JSON; none deletes
    digest: bytes
    event_id: str


class EntityWriter:
    """Writes what one connector finds, below `prefix`."""

    def __init__(
        self,
        prefix: str,
        stream: str,
        source: str,
        log: LogParts,
    ) -> None:
        self._prefix = prefix
        self._stream = stream
        self._source = source
        self._log = log
        self._known: dict[str, bytes] = {}
        self._pending: dict[str, _Change] = {}

    async def write(self, found: Iterable[Found]) -> int:
        """Write what changed and return how many events that took, once they are durable.

        Raises:
            Corrupt: an entity that no event can hold; none is written then.
            Unavailable: not known to be written; write the same again.
        """
        wanted = dict(self._read(name, properties) for name, properties in found)
        if len(self._known) > limits.connector_known_max:
            self._known.clear()  # the shards know all of it
        await self._learn([entity_id for entity_id in wanted if entity_id not in self._known], wanted)
        changes = [
            self._change(entity_id, text)
            for entity_id, text in wanted.items()
            if self._known.get(entity_id) != _digest(text)
        ]
        if changes:
            await self._commit(changes)
        return len(changes)

    def _read(self, name: object, properties: object) -> tuple[str, bytes | None]:
        """Return id and JSON of a found entity."""
        if not isinstance(name, str) or not (properties is None or isinstance(properties, dict)):
            raise Corrupt("a connector must yield pairs of a name and properties")
        try:
            entity_id = check_not_core(check_entity_id(self._prefix + name))
            if properties is None:
                return entity_id, None
            check_numbers(properties)
            text = _encode(properties)
            parse_json(text)
        except (Refused, TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            reason = error.message if isinstance(error, Refused) else type(error).__name__
            raise Corrupt(f"{str(name)[:100]!r} cannot be an entity: {reason}") from None
        return entity_id, text

    async def _learn(self, ids: list[str], wanted: dict[str, bytes | None]) -> None:
        """Remember what Flux holds of entities, as far as it concerns the properties that are wanted."""
        if not ids:
            return
        there = await self._log.states.properties(ids)
        for entity_id in ids:
            properties, text = there.get(entity_id), wanted[entity_id]
            if properties is None:
                self._known[entity_id] = _GONE
            else:
                names = msgspec.json.decode(text) if text is not None else {}
                now = {name: properties[name] for name in names if name in properties}
                self._known[entity_id] = _digest(_encode(now))

    def _change(self, entity_id: str, text: bytes | None) -> _Change:
        digest = _digest(text)
        pending = self._pending.get(entity_id)
        if pending is None or pending.digest != digest:
            pending = _Change(entity_id, text, digest, self._log.new_id())
            self._pending[entity_id] = pending
        return pending

    async def _commit(self, changes: list[_Change]) -> None:
        parts: dict[int, list[_Change]] = {}
        for change in changes:
            parts.setdefault(self._log.partitioning.of_entity(change.entity_id), []).append(change)
        for change in changes:
            del self._known[change.entity_id]  # until it is known to be durable, nobody knows
        failed = await asyncio.gather(*(self._commit_part(*part) for part in parts.items()))
        for error in failed:
            if error is not None:
                raise error

    async def _commit_part(self, partition: int, changes: list[_Change]) -> Corrupt | Unavailable | None:
        try:
            encoded = [encode_event(self._event(change)) for change in changes]
            outcomes = await self._log.committer(partition).commit(encoded)
        except Refused as refusal:
            return Corrupt(f"an entity cannot be written: {refusal.message}")
        except Unavailable as error:
            return error
        failed: Unavailable | None = None
        for change, outcome in zip(changes, outcomes, strict=True):
            if isinstance(outcome, Unavailable):
                failed = outcome
            else:
                self._known[change.entity_id] = change.digest
                del self._pending[change.entity_id]
        return failed

    def _event(self, change: _Change) -> Event:
        properties: dict[str, Any] = {DELETED: True} if change.text is None else parse_json(change.text)
        return Event(
            change.entity_id,
            properties,
            change.event_id,
            named_by_client=True,  # so that the fold remembers it
            source=self._source,
            stream=DELETE_STREAM if change.text is None else self._stream,
            timestamp_ms=self._log.now_ms(),
        )


class LogParts:
    """The log as writers use it: one committer per partition, made when it is needed."""

    def __init__(
        self,
        partitioning: Partitioning,
        make_committer: Callable[[int], Committer],
        states: States,
        new_id: Callable[[], str],
        now_ms: Callable[[], int],
    ) -> None:
        self.partitioning = partitioning
        self.states = states
        self.new_id = new_id
        self.now_ms = now_ms
        self._make_committer = make_committer
        self._committers: dict[int, Committer] = {}

    def committer(self, partition: int) -> Committer:
        """Return the committer of a partition."""
        if partition not in self._committers:
            self._committers[partition] = self._make_committer(partition)
        return self._committers[partition]

    async def close(self) -> None:
        """Let what is under way finish."""
        await asyncio.gather(*(committer.close() for committer in self._committers.values()))


def batches(found: list[Found], size: int = limits.connector_batch_entities) -> Iterable[list[Found]]:
    """Cut what was found into lists that are written one after the other."""
    for begin in range(0, len(found), size):
        yield found[begin : begin + size]


def _digest(text: bytes | None) -> bytes:
    return _GONE if text is None else hashlib.blake2b(text, digest_size=_DIGEST_BYTES).digest()
