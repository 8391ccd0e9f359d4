"""Values that clients may send and logs that they may make, small enough to collide often."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from hypothesis import settings
from hypothesis import strategies as st

from flux_actors.domain.acting.acting import Acting
from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import DELETED, Event, TermedEvent, with_terms
from flux_actors.domain.fold import PartitionState
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ABSENT, ACQUIRE, PRESENT, RELEASE, RENEW, Claim, Terms
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

_names = st.sampled_from(["p", "q", "r", "claim"])
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
_places = st.builds(pack, st.integers(1, 4), st.integers(0, 2))
_clocks_us = st.integers(0, 50).map(lambda number: number * 100)
_conditions = st.sampled_from([ABSENT, PRESENT]) | st.tuples(st.sampled_from([0, 0, 0, 1]), _places)
_claims = st.builds(
    Claim,
    verb=st.sampled_from([ACQUIRE, ACQUIRE, RENEW, RELEASE]),
    holder=st.sampled_from(["h1", "h2"]),
    ttl_ms=st.integers(1, 2),
    token=st.none(),
) | st.builds(
    Claim,
    verb=st.sampled_from([RENEW, RELEASE]),
    holder=st.sampled_from(["h1", "h2"]),
    ttl_ms=st.integers(1, 2),
    token=_places,
)
_terms = (
    st.builds(Terms, condition=_conditions, together=st.integers(0, 3))
    | st.builds(Terms, together=st.integers(1, 3))
    | st.builds(
        Terms,
        ttl_ms=st.none() | st.integers(0, 2),
        property_ttl_ms=st.none() | st.dictionaries(_names, st.integers(0, 2), max_size=2),
        owner=st.sampled_from([None, "o1", "o2"]),
    )
    | st.builds(Terms, claim=_claims)
    | st.builds(Terms, expires_us=_clocks_us.map(lambda clock_us: clock_us + 1_000))
)
_termed_events = st.builds(with_terms, _colliding_events, _terms)


def _steps(items: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.tuples(
        st.integers(1, 2), st.sampled_from([1, 1, 1, 2, 0, -1]), _clocks_us, st.lists(items, max_size=5)
    )


_plain_items = _colliding_events | _colliding_events | st.just(Poison("unreadable"))


def _log_of(steps: list[tuple[int, int, int, list[Event | Poison]]]) -> list[Block]:
    """Number the blocks of each committer: mostly one by one, at times with a gap or a repeat."""
    numbers: dict[int, int] = {}
    log = []
    for committer, step, clock_us, batch in steps:
        numbers[committer] = max(1, numbers.get(committer, 0) + step)
        termed = any(isinstance(event, TermedEvent) for event in batch)
        log.append(Block(committer, numbers[committer], clock_us, batch, termed))
    return log


plain_logs = st.lists(_steps(_plain_items), max_size=9).map(_log_of)
termed_logs = st.lists(_steps(_plain_items | _termed_events), max_size=9).map(_log_of)
logs = plain_logs | termed_logs


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
    acting: tuple[Any, ...]


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
        _acting(state.acting),
    )


def _acting(acting: Acting) -> tuple[Any, ...]:
    waiting = list(acting.outbox.messages.values())
    causes = sorted((origin, settled, sorted(rows)) for origin, settled, rows in acting.causes.rows())
    return acting.catalogue, waiting, causes, dict(acting.stopped), dict(acting.suspended)


def numbered(log: list[Block], first: int = 1) -> list[tuple[int, Block]]:
    return list(enumerate(log, first))
