"""Asking a world, at rest again, what has come of a load, and comparing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Final

import httpx

from flux_actors.errors import Unavailable
from flux_cluster.chaos.checks import count_faults, history_faults, state_faults, watch_faults
from flux_cluster.chaos.load import Load
from flux_cluster.chaos.publisher import State

_ASK_S: Final = 10.0
_TRY_S: Final = 30.0
_POLL_S: Final = 0.1
_CATCH_UP_S: Final = 25.0
_SHOWN: Final = 3


def faults_of(load: Load, doors: int) -> Iterator[str]:
    """Yield what is not as it must be: lost, twice, in disorder, or told otherwise by a door or a watcher.

    Raises:
        Unavailable: Flux does not answer.
    """
    yield from load.trouble()
    states = _states_of_doors(load, doors)
    shown = next(iter(states.values()))
    expected = load.expected | {one: shown.get(one, {}) for one in load.counted_entities}
    for pid, state in states.items():
        yield from state_faults(f"the door {pid}", expected, state)
    yield from _history_faults(load)
    for entity_id in load.counted_entities:
        counted = [one.counted.get(entity_id, []) for one in load.counters]
        yield from count_faults(entity_id, counted, shown.get(entity_id, {}).get("n", 0))
    yield from _watch_faults(load, expected)


def _states_of_doors(load: Load, doors: int) -> dict[int, State]:
    """Return what each door says of the load's entities, by the pid of its process."""
    found: dict[int, State] = {}
    deadline = time.monotonic() + _TRY_S
    while len(found) < doors:
        with httpx.Client(base_url=load.url, timeout=_ASK_S, trust_env=False) as client:  # another connection
            told = _told(client, "/api/status")
            if told is not None and (pid := told["door"]["pid"]) not in found:
                entities = _told(client, "/api/state/entities", prefix=load.prefix)
                if entities is not None:
                    found[pid] = {one["id"]: one["properties"] for one in entities}
        if time.monotonic() > deadline:
            raise Unavailable(f"only {len(found)} of {doors} doors told what they have")
    return found


def _history_faults(load: Load) -> Iterator[str]:
    with httpx.Client(base_url=load.url, timeout=_ASK_S, trust_env=False) as client:
        for publisher in load.publishers:
            for entity_id, acked in publisher.acked.items():
                yield from history_faults(entity_id, acked, _history(client, entity_id))


def _history(client: httpx.Client, entity_id: str) -> list[str]:
    deadline = time.monotonic() + _TRY_S
    while (events := _told(client, "/api/events", entity=entity_id, limit=500)) is None:
        if time.monotonic() > deadline:
            raise Unavailable(f"the history of {entity_id} was not to be had")
        time.sleep(_POLL_S)
    return [event["eventId"] for event in reversed(events)]


def _watch_faults(load: Load, expected: State) -> Iterator[str]:
    """Yield what watchers have folded otherwise, once they had the time to hear of everything."""
    deadline = time.monotonic() + _CATCH_UP_S
    for onlooker in load.onlookers:
        while faults := list(watch_faults(onlooker, expected, load.written)):
            if time.monotonic() > deadline:
                yield from faults[:_SHOWN]
                break
            time.sleep(_POLL_S)


def _told(client: httpx.Client, path: str, **query: Any) -> Any:
    """Return what a door answers, `None` when it does not now."""
    try:
        answer = client.get(path, params=query)
    except httpx.HTTPError:
        return None
    return answer.json() if answer.status_code == httpx.codes.OK else None
