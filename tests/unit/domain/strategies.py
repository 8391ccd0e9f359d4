"""Values that clients may send and logs that they may make, small enough to collide often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import DELETED, Event
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Refused
from flux_actors.log.block import Block, Poison

few = settings(max_examples=50, deadline=None, derandomize=True)
many = settings(max_examples=100, deadline=None, derandomize=True)

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
integers = st.integers(-(1 << 63), (1 << 64) - 1)
floats = st.floats(allow_nan=False, allow_infinity=False)
scalars = st.none() | st.booleans() | integers | floats | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
json_objects = st.dictionaries(texts, json_values, max_size=4)

events = st.builds(
    Event,
    entity_id=st.none() | texts,
    properties=st.none() | json_objects,
    event_id=texts,
    named_by_client=st.booleans(),
    source=texts,
    stream=texts,
    timestamp_ms=st.integers(1, (1 << 63) - 1),
    key=st.none() | texts,
    schema=st.none() | texts,
    rest=st.none() | json_objects,
)

_names = st.sampled_from(["p", "q", "r"])
_leaves = st.sampled_from([None, 0, 1, "x", {"deep": 1}, {"other": [2]}])
_updates = st.dictionaries(_names, _leaves, max_size=2)
_deletions = st.builds(lambda others, flag: others | {DELETED: flag}, _updates, st.sampled_from([True, 1]))
_colliding_events = st.builds(
    Event,
    entity_id=st.sampled_from(["a/1", "a/1", "a/2", "b/1", "plain", None]),
    properties=st.none() | _updates | _updates | _updates | _deletions,
    event_id=st.sampled_from(["e1", "e2", "e3", "e4"]),
    named_by_client=st.integers(0, 3).map(lambda number: number == 0),
    source=st.sampled_from(["s1", "s2"]),
    stream=st.just("s"),
    timestamp_ms=st.just(1),
)
_steps = st.tuples(
    st.integers(1, 2),
    st.sampled_from([1, 1, 1, 2, 0, -1]),
    st.integers(0, 50),
    st.lists(_colliding_events | _colliding_events | st.just(Poison("unreadable")), max_size=5),
)


def _log_of(steps: list[tuple[int, int, int, list[Event | Poison]]]) -> list[Block]:
    """Number the blocks of each committer: mostly one by one, at times with a gap or a repeat."""
    numbers: dict[int, int] = {}
    log = []
    for committer, step, clock_us, batch in steps:
        numbers[committer] = max(1, numbers.get(committer, 0) + step)
        log.append(Block(committer, numbers[committer], clock_us, batch))
    return log


logs = st.lists(_steps, max_size=9).map(_log_of)


def value_or_400(decide: Callable[[], Any]) -> Any:
    """Return what `decide` returns, or `None` when it refuses with a 400 and a reason."""
    try:
        return decide()
    except Refused as error:
        refusal = error
    assert refusal.status == 400
    assert refusal.message
    return None


class Whole(NamedTuple):
    """Everything that a fold made, in a form that compares."""

    sequence: int
    clock_us: int
    events_total: int
    alive: int
    rows: list[Any]
    namespaces: dict[str, tuple[int, int]]
    remembered: list[list[str]]
    committers: list[tuple[int, int]]
    poison: list[Any]


def rows_of(state: PartitionState) -> list[EntityRow]:
    """Return the rows of all entities by id, of those that left memory too."""
    rows = {name: actor.row() for name, actor in state.entities.items()}
    if state.cold is not None:
        with state.cold.walk("") as ids:
            rows |= {name: kept.row() for name, kept in ids if name not in rows and kept is not None}
    assert len(rows) == state.known
    return [rows[name] for name in sorted(rows)]


def whole(state: PartitionState) -> Whole:
    return Whole(
        state.sequence,
        state.clock_us,
        state.events_total,
        state.alive,
        rows_of(state),
        {name: (totals.entities, totals.updated_us) for name, totals in state.namespaces.items()},
        [list(state.window.elder.ids), list(state.window.younger.ids)],
        list(state.committers.items()),
        list(state.poison),
    )


def numbered(log: list[Block], first: int = 1) -> list[tuple[int, Block]]:
    return list(enumerate(log, first))
