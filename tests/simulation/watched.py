"""Whether watchers were told what happened: each change once, in order, without a gap."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from flux_actors.domain.clock import iso_of
from flux_actors.domain.pattern import names
from flux_actors.domain.position import parse
from tests.simulation.truth import Truth
from tests.simulation.watching import Watching

_PARTITIONS_MAX: Final = 1_024
_ABSENT: Final = "absent"


def wrong_in_watching(watchings: list[Watching], truths: list[Truth]) -> Iterator[str]:
    """Return all that is wrong with what was told."""
    for watching in watchings:
        if watching.plain:
            yield from _wrong_in_plain(watching, truths)
        else:
            yield from _Fold(watching, truths).wrong()


def _wrong_in_plain(watching: Watching, truths: list[Truth]) -> Iterator[str]:
    """The last that was told of each property since the last connection is how it is.

    Where a door lost changes for good it tells how things are, and not that they were gone in between.
    """
    lost = watching.door is not None and watching.door.has_lost
    last: dict[str, dict[str, Any]] = {}
    for message in watching.told[-1] if watching.told else ():
        if message["type"] == "state_update":
            last.setdefault(message["entity_id"], {})[message["property"]] = message["value"]
        elif message["type"] == "entity_deleted":
            last[message["entity_id"]] = {}
    entities = {name: found for truth in truths for name, found in truth.entities().items()}
    for entity_id, told in last.items():
        is_so = entities.get(entity_id, {})
        wrong = {
            name: value
            for name, value in told.items()
            if is_so.get(name, _ABSENT) != value and not (lost and is_so and name not in is_so)
        }
        if wrong:
            yield f"{watching.name} was told {wrong} of {entity_id}, and it is {is_so}"


class _Fold:
    """What a watcher with options makes of what it is told, beside what happened."""

    def __init__(self, watching: Watching, truths: list[Truth]) -> None:
        self._watching = watching
        self._truths = truths
        self._entities: dict[str, dict[str, Any]] = {}
        self._places: dict[str, int] = {}  # the last change of an entity that was told, or is in its state

    def wrong(self) -> Iterator[str]:
        """Return what is wrong."""
        for told, resumed in zip(self._watching.told, self._watching.resumed, strict=True):
            if not resumed:
                self._forget()
            for message in told:
                yield from self._take(message)
        yield from self._end()

    def _forget(self) -> None:
        self._entities.clear()
        self._places.clear()

    def _take(self, message: dict[str, Any]) -> Iterator[str]:
        match message["type"]:
            case "resync":
                self._forget()
            case "state":
                entity = message["entity"]
                self._entities[entity["id"]] = entity["properties"]
                ((_, position),) = parse(message["position"], _PARTITIONS_MAX).items()
                self._places[entity["id"]] = position
            case "delta":
                yield from self._follow(message)
                entity_id = message["entity_id"]
                self._entities[entity_id] = self._entities.get(entity_id, {}) | message["properties"]
            case "entity_deleted":
                yield from self._follow(message)
                self._entities.pop(message["entity_id"], None)
            case "live" | "left":
                return
            case _:
                yield f"{self._watching.name} was told {message}"

    def _follow(self, message: dict[str, Any]) -> Iterator[str]:
        """A change follows the last one of its entity, as that happened."""
        entity_id = message["entity_id"]
        ((partition, position),) = parse(message["position"], _PARTITIONS_MAX).items()
        stands = self._truths[partition].stands.get(entity_id, [])
        numbers = {stand.position: number for number, stand in enumerate(stands)}
        if position not in numbers:
            yield f"{self._watching.name} was told of {entity_id} at {position}, where nothing happened"
            return
        if iso_of(stands[numbers[position]].clock_us) != message["timestamp"]:
            yield f"{self._watching.name} was told another time of {entity_id} at {position}"
        last = self._places.get(entity_id)
        if last is not None and last in numbers and numbers[position] != numbers[last] + 1:
            yield (
                f"{self._watching.name} was told of {entity_id} at {position} "
                f"(change {numbers[position]}) behind {last} (change {numbers[last]})"
            )
        self._places[entity_id] = position

    def _end(self) -> Iterator[str]:
        """At the end the watcher has what is there."""
        pattern = self._watching.pattern
        expected = {
            entity_id: properties
            for truth in self._truths
            for entity_id, properties in truth.entities().items()
            if names(pattern, entity_id)
        }
        for entity_id in sorted(expected.keys() | self._entities.keys()):
            told, is_so = self._entities.get(entity_id), expected.get(entity_id)
            if told != is_so:
                yield f"{self._watching.name} has {told} of {entity_id}, and it is {is_so}"
