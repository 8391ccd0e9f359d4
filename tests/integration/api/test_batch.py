"""`POST /api/events/batch`: each event lands or fails alone, and the answer tells which."""

from __future__ import annotations

import json

import pytest

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
BATCH = "/api/events/batch"
MIB = 1024 * 1024


def nested(levels):
    """Return an object with `levels` levels of objects, itself included."""
    return {} if levels == 1 else {"a": nested(levels - 1)}


def test_a_batch_is_answered_with_exactly_these_fields(api, namespace):
    body = {"events": [event(f"{namespace}/e", {"a": 1}, eventId=f"{namespace}-1")]}
    answer = api.post(BATCH, json=body)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.content == (
        b'{"successful":1,"failed":0,"results":[{"eventId":"%s-1","stream":"sensors","error":null}]}'
        % namespace.encode()
    )


def test_the_published_example_without_timestamps_works(api, namespace, read):
    body = {
        "events": [
            {
                "stream": "sensors",
                "source": "sensor-01",
                "payload": {"entity_id": f"{namespace}/temp-{n}", "properties": {"value": 20.5 + n}},
            }
            for n in range(2)
        ]
    }
    assert api.post(BATCH, json=body).json()["successful"] == 2
    assert read(f"{namespace}/temp-1") == {"value": 21.5}


def test_a_bare_array_is_a_batch_too(api, namespace, read):
    answer = api.post(BATCH, json=[event(f"{namespace}/e", {"a": n}) for n in range(3)]).json()
    assert (answer["successful"], answer["failed"], len(answer["results"])) == (3, 0, 3)
    assert read(f"{namespace}/e") == {"a": 2}


def test_results_come_in_the_order_of_the_request(api, namespace):
    events = [
        event(f"{namespace}{n % 7}/e{n}", {"a": n}, eventId=f"{namespace}-{n}", stream=f"s{n}")
        for n in range(200)
    ]
    results = api.post(BATCH, json={"events": events}).json()["results"]
    assert [r["eventId"] for r in results] == [f"{namespace}-{n}" for n in range(200)]
    assert [r["stream"] for r in results] == [f"s{n}" for n in range(200)]
    assert all(list(r) == ["eventId", "stream", "error"] and r["error"] is None for r in results)


def test_events_of_one_entity_apply_in_the_order_of_the_request(api, namespace, read):
    api.post(BATCH, json=[event(f"{namespace}/e", {"n": n, f"k{n % 5}": n}) for n in range(1000)])
    assert read(f"{namespace}/e") == {"n": 999, "k0": 995, "k1": 996, "k2": 997, "k3": 998, "k4": 999}


def test_missing_event_ids_are_made_and_all_differ(api, namespace):
    results = api.post(BATCH, json=[event(f"{namespace}/e", {"n": n}) for n in range(500)]).json()["results"]
    assert len({r["eventId"] for r in results}) == 500


@pytest.mark.parametrize("body", [{"events": []}, []], ids=["object", "array"])
def test_an_empty_batch_is_refused(api, body):
    assert_error(api.post(BATCH, json=body), 400)


@pytest.mark.parametrize(
    "body",
    [
        *(
            b"",
            b"null",
            b"1",
            b'"x"',
            b"{}",
            b'{"events":null}',
            b'{"events":{}}',
            b'{"events":"x"}',
            b"true",
        ),
        *(
            b'{"event":[]}',
            b"[",
            b'{"events":[',
            b"[1,]",
            b"\xff",
            b"NaN",
            b"[NaN]",
            b"[{}",
            b'{"events":[]]}',
        ),
        *(b"[" * 100_000, b'[{"a":1e999}]', b'["\\ud800"]', "[]".encode("utf-16")),
    ],
    ids=lambda body: repr(body[:20]),
)
def test_a_body_that_is_no_batch_is_refused(api, body):
    assert_error(api.post(BATCH, content=body), 400)


@pytest.mark.parametrize(
    "bad",
    [
        *(None, 1, True, "x", [], [{}], 1.5, {}, {"payload": {}}, {"stream": 1}),
        event("", {"a": 1}),
        event("flux-core/x", {"a": 1}),
        event("a\n", {"a": 1}),
        event("a" * 513, {"a": 1}),
        event("x/y", [1]),
        event("x/y", {"a": 2**64}),
        event("x/y", {"a": 1}, stream="A"),
        event("x/y", {"a": 1}, source=""),
        event("x/y", {"a": 1}, timestamp=-1),
        event("x/y", {"a": 1}, eventId="e" * 129),
        event("x/y", {"a": 1}, payload=[]),
    ],
    ids=lambda bad: json.dumps(bad).removeprefix('{"stream": "sensors", "source": "tests", "payload": ')[:60],
)
def test_a_bad_event_fails_alone_and_its_neighbours_land(api, namespace, read, bad):
    events = [event(f"{namespace}/before", {"a": 1}), bad, event(f"{namespace}/after", {"a": 1})]
    answer = api.post(BATCH, json={"events": events})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["successful"], body["failed"]) == (2, 1)
    assert [result["error"] is None for result in body["results"]] == [True, False, True]
    failed = body["results"][1]
    assert list(failed) == ["eventId", "stream", "error"]
    assert len(failed["error"]) > 8
    assert read(f"{namespace}/before") == read(f"{namespace}/after") == {"a": 1}


def test_a_failed_event_keeps_the_id_and_stream_that_it_came_with(api, namespace):
    bad = event(f"{namespace}/e", {"a": 1}, eventId="mine", source="")
    (result,) = api.post(BATCH, json=[bad]).json()["results"]
    assert (result["eventId"], result["stream"]) == ("mine", "sensors")


def test_a_batch_of_which_all_fail_is_still_200(api):
    answer = api.post(BATCH, json={"events": [{}, None, 1]})
    assert answer.status_code == 200
    body = answer.json()
    assert (body["successful"], body["failed"], len(body["results"])) == (0, 3, 3)
    assert all(r["eventId"] is None and r["stream"] is None and r["error"] for r in body["results"])


def test_a_condition_in_an_event_of_a_batch_is_of_that_event(api, namespace, read):
    events = [
        event(f"{namespace}/e", {"a": 1}, condition={"present": True}),
        event(f"{namespace}/f", {"a": 1}),
        event(f"{namespace}/f", {"a": 2}, condition={"absent": True}),
    ]
    body = api.post(BATCH, json=events).json()
    assert (body["successful"], body["failed"]) == (1, 2)
    assert "there is none" in body["results"][0]["error"]
    assert "one already" in body["results"][2]["error"]
    assert read(f"{namespace}/e") is None
    assert read(f"{namespace}/f") == {"a": 1}


def test_an_atomic_batch_applies_whole_at_one_position_or_not_at_all(api, namespace, read):
    events = [event(f"{namespace}/{name}", {"a": 1}) for name in "ef"]
    whole = api.post(f"{BATCH}?atomic=true", json=events)
    assert (whole.status_code, whole.json()["successful"]) == (200, 2)
    etags = [api.get(f"/api/state/entities/{namespace}/{name}").headers["etag"] for name in "ef"]
    assert len({etag.rpartition(".")[0] for etag in etags}) == 1
    events = [
        event(f"{namespace}/g", {"a": 1}),
        event(f"{namespace}/e", {"a": 2}, condition={"absent": True}),
    ]
    none = api.post(f"{BATCH}?atomic=true", json=events).json()
    assert (none["successful"], none["failed"]) == (0, 2)
    assert read(f"{namespace}/g") is None
    assert read(f"{namespace}/e") == {"a": 1}


def test_what_cannot_be_kept_together_is_refused(api, namespace):
    events = [event(f"{namespace}/e", {"a": 1}), event(f"{namespace}x/e", {"a": 1})]
    assert "one namespace" in assert_error(api.post(f"{BATCH}?atomic=true", json=events), 400)
    many = [event(f"{namespace}/{number}", {"a": 1}) for number in range(4_001)]
    assert "4000" in assert_error(api.post(f"{BATCH}?atomic=true", json=many), 413)


def test_atomic_false_is_an_ordinary_batch(api, namespace):
    answer = api.post(f"{BATCH}?atomic=false", json=[event(f"{namespace}/e", {"a": 1})])
    assert answer.json()["successful"] == 1


def test_a_repeated_event_id_in_one_batch_applies_once(api, namespace, read):
    events = [event(f"{namespace}/e", {"n": n, f"k{n}": 1}, eventId="same") for n in range(3)]
    assert api.post(BATCH, json=events).json()["successful"] == 3
    assert read(f"{namespace}/e") == {"n": 0, "k0": 1}


def test_a_batch_sent_again_changes_nothing(api, namespace, read):
    events = [event(f"{namespace}/e", {"n": n}, eventId=f"id{n}") for n in range(50)]
    first = api.post(BATCH, json=events).json()
    api.post("/api/events", json=event(f"{namespace}/e", {"n": "later"}))
    assert api.post(BATCH, json=events).json() == first
    assert read(f"{namespace}/e") == {"n": "later"}


def test_the_position_of_a_batch_covers_every_partition_that_it_touched(api, namespace):
    names = [f"{namespace}{n}/e" for n in range(16)]
    answer = api.post(BATCH, json=[event(name, {"a": 1}) for name in names])
    read = api.post(
        "/api/state/entities/get",
        json={"ids": names},
        headers={"Flux-Position": answer.headers["Flux-Position"]},
    )
    assert [entity["id"] for entity in read.json()["entities"]] == names


def test_wait_applied_answers_after_the_whole_batch_is_visible(api, namespace):
    names = [f"{namespace}{n}/e" for n in range(8)]
    answer = api.post(f"{BATCH}?wait=applied", json=[event(name, {"a": 1}) for name in names])
    assert set(answer.json()) >= {"successful", "failed", "results"}
    assert answer.json()["successful"] == 8
    for name in names:
        assert api.get(f"/api/state/entities/{name}").json()["properties"] == {"a": 1}


def test_an_event_may_nest_as_deep_in_a_batch_as_alone(api, namespace, read):
    deepest = event(f"{namespace}/e", nested(126))
    assert api.post("/api/events", json=deepest).status_code == 200
    body = api.post(BATCH, json={"events": [event(f"{namespace}/f", nested(126))]})
    assert body.status_code == 200, body.text
    assert body.json()["successful"] == 1
    assert read(f"{namespace}/f") == nested(126)


def test_a_batch_over_ten_mebibytes_is_413_and_nothing_of_it_lands(api, namespace, read):
    events = [event(f"{namespace}/e{n}", {"text": "x" * 500_000}) for n in range(21)]
    assert str(10 * MIB) in assert_error(api.post(BATCH, json=events), 413)
    assert read(f"{namespace}/e0") is None


def test_a_batch_just_under_ten_mebibytes_lands(api, namespace, read):
    events = [event(f"{namespace}/e{n}", {"text": "x" * 100_000}) for n in range(104)]
    assert 9.9 * MIB < len(json.dumps(events)) <= 10 * MIB
    assert api.post(BATCH, json={"events": events}).json()["successful"] == 104
    assert len(read(f"{namespace}/e103")["text"]) == 100_000
    assert api.post("/api/state/entities/delete", json={"namespace": namespace}).json()["deleted"] == 104


def test_a_batch_of_ten_thousand_small_events_lands(api, namespace):
    answer = api.post(BATCH, json=[event(f"{namespace}/e{n}", {"n": n}) for n in range(10_000)]).json()
    assert answer["successful"] == 10_000
    count = api.get("/api/state/entities", params={"namespace": namespace, "count": "true"})
    assert count.json() == {"count": 10_000}


def test_a_batch_through_the_second_entrance_is_the_same(proxy, namespace):
    answer = proxy.post(f"{BATCH}?wait=applied", json=[event(f"{namespace}/e", {"a": 1}), {}])
    assert (answer.json()["successful"], answer.json()["failed"]) == (1, 1)
    assert proxy.get(f"/api/state/entities/{namespace}/e").json()["properties"] == {"a": 1}
    assert_error(proxy.post(BATCH, json=[]), 400)
