"""What is sent is what is expected: a fold of all requests gives the state that a workload tells."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from flux_bench.workload import FIRST, PROPERTIES, Workload, size_of, with_number

WORKLOADS = st.builds(
    Workload,
    namespace=st.just("bench"),
    connections=st.integers(1, 4),
    entities=st.integers(1, 30),
    events=st.integers(1, 6),
    first=st.integers(0, 50),
)


@given(WORKLOADS, st.lists(st.integers(0, 20), min_size=4, max_size=4))
def test_the_expected_state_is_the_fold_of_the_requests(workload: Workload, counts: list[int]):
    counts = counts[: workload.connections]
    state: dict[str, int] = {}
    for connection, count in enumerate(counts):
        bodies = workload.bodies(connection)
        for number in range(count):
            body = json.loads(with_number(bodies[number % len(bodies)], workload.first + number))
            for event in body["events"] if workload.events > 1 else [body]:
                properties = event["payload"]["properties"]
                assert len(properties) == PROPERTIES
                state[event["payload"]["entity_id"]] = properties["sequence"]
    assert workload.expected(counts) == state


@given(WORKLOADS)
def test_ids_are_as_many_as_asked_and_connections_share_none(workload: Workload):
    ids = list(workload.all_ids())
    assert len(set(ids)) == len(ids) >= workload.entities


def test_requests_of_any_number_have_the_same_length():
    (pieces,) = Workload("bench", 1, 1).bodies(0)
    assert len(with_number(pieces, 0)) == len(with_number(pieces, 899_999_999)) == size_of(pieces)
    assert str(FIRST).encode() in with_number(pieces, 0)
