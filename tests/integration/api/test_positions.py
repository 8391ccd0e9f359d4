"""`Flux-Position`: every write gives one, and every read that names it includes that write."""

from __future__ import annotations

import re

import pytest

from tests.conftest import READ_WAIT_MS
from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
ENTITIES = "/api/state/entities"


@pytest.fixture
def write(api, namespace):
    """Publish without waiting and return the position alone."""

    def position_of(n, name="e"):
        answer = api.post("/api/events", json=event(f"{namespace}/{name}", {"n": n}))
        api.forget()
        return answer.headers["Flux-Position"]

    return position_of


READS = {
    "entity": lambda api, ns, **position: api.get(f"{ENTITIES}/{ns}/e", **position).json()["properties"],
    "list": lambda api, ns, **position: api.get(f"{ENTITIES}?namespace={ns}", **position).json()[0][
        "properties"
    ],
    "many": lambda api, ns, **position: api.post(
        f"{ENTITIES}/get", json={"ids": [f"{ns}/e"]}, **position
    ).json()["entities"][0]["properties"],
    "history": lambda api, ns, **position: api.get(f"/api/events?entity={ns}/e", **position).json()[0][
        "payload"
    ]["properties"],
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_a_read_that_names_a_position_includes_that_write(api, namespace, write, read):
    for n in range(30):
        position = write(n)
        assert read(api, namespace, headers={"Flux-Position": position}) == {"n": n}


@pytest.mark.parametrize("form", ["{}", '"{}"'], ids=["plain", "quoted as an ETag"])
def test_at_least_in_the_query_does_the_same(api, namespace, write, form):
    for n in range(30):
        params = {"at_least": form.format(write(n))}
        assert api.get(f"{ENTITIES}/{namespace}/e", params=params).json()["properties"] == {"n": n}


def test_a_count_that_names_a_position_includes_that_write(api, namespace, write):
    for n in range(20):
        params = {"namespace": namespace, "at_least": write(n, name=f"e{n}")}
        assert api.get(ENTITIES, params=params | {"count": "true"}).json() == {"count": n + 1}
        assert api.head(ENTITIES, params=params).headers["Flux-Count"] == str(n + 1)


def test_an_older_position_is_answered_with_the_newest_state(api, namespace, write):
    first = write(1)
    last = write(2)
    api.get(f"{ENTITIES}/{namespace}/e", headers={"Flux-Position": last})
    answer = api.get(f"{ENTITIES}/{namespace}/e", headers={"Flux-Position": first})
    assert answer.json()["properties"] == {"n": 2}


def test_a_position_holds_for_other_entities_of_its_partition_and_for_those_of_other_partitions(
    api, namespace, write
):
    position = write(1)
    for other in (f"{namespace}/no", *(f"{namespace}{n}/no" for n in range(8))):
        assert_error(api.get(f"{ENTITIES}/{other}", headers={"Flux-Position": position}), 404)


def test_a_deletion_is_included(api, namespace, write):
    for n in range(10):
        write(n)
        position = api.delete(f"{ENTITIES}/{namespace}/e").headers["Flux-Position"]
        assert_error(api.get(f"{ENTITIES}/{namespace}/e", headers={"Flux-Position": position}), 404)


def test_an_event_without_an_entity_has_a_position_too(api, namespace):
    answer = api.post("/api/events", json=event(None))
    assert (
        api.get(ENTITIES, params={"namespace": namespace, "at_least": answer.headers["Flux-Position"]}).json()
        == []
    )


def test_a_duplicate_is_answered_with_a_position_that_includes_the_first(api, namespace):
    body = event(f"{namespace}/e", {"n": 1}, eventId="once")
    api.post("/api/events", json=body)
    position = api.post("/api/events", json=body).headers["Flux-Position"]
    answer = api.get(f"{ENTITIES}/{namespace}/e", headers={"Flux-Position": position})
    assert answer.json()["properties"] == {"n": 1}


def test_a_batch_of_which_nothing_lands_has_no_position(api):
    assert "Flux-Position" not in api.post("/api/events/batch", json=[{}]).headers


def test_positions_are_plain_text_that_needs_no_escaping(write):
    assert re.fullmatch(r"[\x21-\x7e]{1,200}", write(1))


def test_a_position_that_is_not_reached_in_time_is_503_with_a_time_to_try_again(api, namespace, write):
    partition, sequence, offset = write(1).split(".")
    beyond = f"{partition}.{int(sequence) + 1_000_000}.{offset}"
    answer = api.get(f"{ENTITIES}/{namespace}/e", headers={"Flux-Position": beyond})
    assert_error(answer, 503)
    assert int(answer.headers["Retry-After"]) >= 1
    assert READ_WAIT_MS - 500 < answer.elapsed.total_seconds() * 1_000 < 2 * READ_WAIT_MS


@pytest.mark.parametrize(
    "position",
    [
        *(
            "x",
            "1",
            "1.1",
            "1.1.1.1",
            "-1.1.1",
            "9999.1.1",
            "1.1.4096",
            "1.1.99999",
            "1.-1.1",
            "1,1,1",
            "1.1.1~",
        ),
        *(
            "~1.1.1",
            "1.1.1~x",
            "1.1.1~~1.1.2",
            "null",
            "0x1.1.1",
            "1.1e3.1",
            "1.1.1 2.2.2",
            "1." + "9" * 30 + ".1",
        ),
        *("٣.1.1", "1.1.1\x00", "~", ".", "..", '"', "99999999999.1.1", "1.1.1~" * 2000),
    ],
    ids=lambda position: ascii(position[:20]),
)
@pytest.mark.parametrize("path", [f"{ENTITIES}/a/b", ENTITIES, "/api/events?entity=a/b"])
def test_a_text_that_is_no_position_is_refused(api, path, position):
    assert "position" in assert_error(api.get(path, params={"entity": "a/b", "at_least": position}), 400)


@pytest.mark.parametrize("position", ["x", "1.1", "ü", "\xff"])
def test_a_header_that_is_no_position_is_refused(api, position):
    headers = {"Flux-Position": position.encode("latin-1")}
    assert "position" in assert_error(api.get(f"{ENTITIES}/a/b", headers=headers), 400)
    assert "position" in assert_error(api.post(f"{ENTITIES}/get", json={"ids": []}, headers=headers), 400)
