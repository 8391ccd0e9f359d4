"""Anything at all: ids, bodies and headers of any bytes never meet a fault, only answers in one shape."""

from __future__ import annotations

import json
from urllib.parse import quote, quote_from_bytes

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from tests.integration.api.support import RawConnection, Watcher, assert_error, event

pytestmark = pytest.mark.real
ENTITIES = "/api/state/entities"
EXAMPLES = 150
BELOW_FAULT = range(200, 500)

bounded = settings(
    max_examples=EXAMPLES,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
texts = st.text(max_size=60)
json_texts = st.text(st.characters(), max_size=60)  # lone surrogates too: JSON can spell them
any_bytes = st.binary(max_size=80)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | json_texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(json_texts, inner, max_size=4),
    max_leaves=12,
)
kept_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
envelopes = st.fixed_dictionaries(
    {},
    optional={
        "stream": st.just("a") | json_values,
        "source": st.just("s") | json_values,
        "timestamp": json_values,
        "eventId": json_values,
        "key": json_values,
        "schema": json_values,
        "payload": json_values
        | st.fixed_dictionaries({}, optional={"entity_id": json_values, "properties": json_values}),
    },
)


def check(answer: httpx.Response) -> None:
    """Hold every answer to the two shapes: a success, or one sentence."""
    assert answer.status_code in BELOW_FAULT, (answer.status_code, answer.text)
    if answer.status_code >= 400:
        assert_error(answer, BELOW_FAULT)


@bounded
@given(raw_id=any_bytes)
def test_an_id_of_any_bytes_in_a_path(api, raw_id):
    path = f"{ENTITIES}/{quote_from_bytes(raw_id, safe='')}"
    check(api.get(path))
    check(api.delete(path))
    check(api.get(f"/api/events?entity={quote_from_bytes(raw_id)}"))


@bounded
@given(entity_id=json_texts)
def test_an_id_of_any_text_is_refused_or_kept_as_it_is(api, entity_id):
    answer = api.post("/api/events?wait=applied", content=dump(event(entity_id, {"a": 1})))
    check(answer)
    if answer.status_code == 200:
        assert answer.json()["entity"]["id"] == entity_id
        listed = api.post(f"{ENTITIES}/get", json={"ids": [entity_id]}).json()["entities"]
        assert [entity["id"] for entity in listed] == [entity_id]


@bounded
@given(
    body=any_bytes,
    path=st.sampled_from(["/api/events", "/api/events/batch", f"{ENTITIES}/get", f"{ENTITIES}/delete"]),
)
def test_a_body_of_any_bytes(api, path, body):
    check(api.post(path, content=body))


@bounded
@given(body=json_values, path=st.sampled_from(["/api/events", "/api/events/batch", f"{ENTITIES}/get"]))
def test_a_body_of_any_json(api, path, body):
    check(api.post(path, content=dump(body)))


@bounded
@given(
    body=st.dictionaries(st.sampled_from(["namespace", "prefix", "entity_ids", "x"]), json_values, max_size=3)
)
def test_a_delete_of_anything(api, body):
    check(api.post(f"{ENTITIES}/delete", content=dump(body)))


STREAM = ("entity", "prefix", "where", "fields", "format", "initial", "from", "metrics")


@bounded
@given(
    query=st.lists(st.tuples(st.sampled_from(STREAM), texts), max_size=3),
    last_id=st.text(
        st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=30
    ),
)
def test_a_stream_of_anything(api, query, last_id):
    headers = {b"Last-Event-ID": last_id.encode("latin-1")}
    with api.stream("GET", "/api/stream", params=query, headers=headers) as answer:
        if answer.status_code != 200:
            answer.read()
            check(answer)


@bounded
@given(body=st.dictionaries(json_texts, json_values, min_size=1, max_size=3))
def test_a_config_of_anything(api, body):
    check(api.put("/api/admin/config", content=dump(body)))


@bounded
@given(envelope=envelopes)
def test_an_event_with_fields_of_any_kind(api, envelope):
    check(api.post("/api/events", content=dump(envelope)))


@bounded
@given(events=st.lists(envelopes | json_values, min_size=1, max_size=5))
def test_a_batch_of_events_of_any_kind_tells_of_each(api, events):
    answer = api.post("/api/events/batch", content=dump({"events": events}))
    check(answer)
    if answer.status_code == 200:
        told = answer.json()
        assert told["successful"] + told["failed"] == len(told["results"]) == len(events)
        assert sum(result["error"] is not None for result in told["results"]) == told["failed"]


@bounded
@given(
    properties=st.dictionaries(
        texts.filter(lambda name: name != "__deleted__"), kept_values, min_size=1, max_size=5
    )
)
def test_any_properties_read_back_equal(api, namespace_of_module, properties):
    name = f"{namespace_of_module}/kept"
    api.delete(f"{ENTITIES}/{name}")
    answer = api.post("/api/events?wait=applied", content=dump(event(name, properties)))
    assert answer.json()["entity"]["properties"] == properties
    assert api.get(f"{ENTITIES}/{name}").json()["properties"] == properties


@bounded
@given(
    steps=st.lists(
        st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1)
        | st.just({"__deleted__": True}),
        min_size=1,
        max_size=8,
    )
)
def test_any_sequence_of_events_folds_to_its_model(api, namespace_of_module, steps):
    name = f"{namespace_of_module}/folded"
    model: dict[str, int] = {}
    for step in steps:
        model = {} if "__deleted__" in step else model | step
    events = [event(name, step) for step in [{"__deleted__": True}, *steps]]
    assert api.post("/api/events/batch", json=events).json()["failed"] == 0
    entities = api.post(f"{ENTITIES}/get", json={"ids": [name]}).json()["entities"]
    assert [entity["properties"] for entity in entities] == ([model] if model else [])


@bounded
@given(
    name=st.sampled_from(
        [
            *(
                "Flux-Position",
                "If-None-Match",
                "Prefer",
                "X-Request-Id",
                "Origin",
                "Accept-Encoding",
                "Cookie",
            ),
            *("Authorization", "Content-Type", "Accept", "Range", "X-Forwarded-For", "Content-Encoding"),
        ]
    ),
    value=st.binary(max_size=60).filter(lambda v: not set(v) & set(b"\r\n\x00") and v.strip() == v),
)
def test_a_header_of_any_bytes(fuzzed_port, name, value):
    with RawConnection(fuzzed_port) as connection:
        connection.send(
            b"GET %s/no/body HTTP/1.1\r\nHost: a\r\n%s: %s\r\n\r\n"
            % (ENTITIES.encode(), name.encode(), value)
        )
        assert_error(connection.answer(), range(400, 500))


@bounded
@given(query=any_bytes, path=st.sampled_from([ENTITIES, "/api/events", f"{ENTITIES}/a/b", "/api/health"]))
def test_a_query_of_any_bytes(api, path, query):
    check(api.get(f"{path}?{quote_from_bytes(query, safe='&=;+~')}&namespace=none&entity=a"))


@bounded
@given(
    name=st.sampled_from(
        ["entity", "since", "until", "limit", "at_least", "namespace", "prefix", "count", "at", "wait"]
    ),
    value=texts,
    path=st.sampled_from([f"{ENTITIES}?namespace=none", "/api/events?entity=a", f"{ENTITIES}/a/b?"]),
)
def test_a_parameter_of_any_text(api, path, name, value):
    check(api.get(f"{path}&{name}={quote(value)}"))


@bounded
@given(line=any_bytes)
def test_a_request_of_any_bytes(fuzzed_port, line):
    with RawConnection(fuzzed_port) as connection:
        connection.send(line + b"\r\n\r\n\r\n\r\nx\r\n\r\n")
        assert connection.answer().status_code in BELOW_FAULT


@bounded
@given(messages=st.lists(st.binary(max_size=60) | json_values.map(json.dumps), max_size=5))
def test_a_socket_message_of_any_bytes_is_answered_and_the_socket_stays_open(fuzzed_socket, messages):
    for message in messages:
        fuzzed_socket.socket.send(message)
    assert all(answer["type"] == "error" for answer in fuzzed_socket.settle())


@bounded
@given(
    message=st.fixed_dictionaries(
        {"type": st.sampled_from(["subscribe", "unsubscribe"])},
        optional={"entity_id": json_values, "id": json_values},
    )
)
def test_a_subscription_to_anything_leaves_the_socket_open(fuzzed_socket, message):
    fuzzed_socket.socket.send(dump(message))
    fuzzed_socket.settle()


def dump(value: object) -> str:
    """Return JSON as any client might write it: with NaN, lone surrogates and integers of any size."""
    return json.dumps(value)


@pytest.fixture(scope="module")
def fuzzed_port(flux):
    return flux.port


@pytest.fixture
def fuzzed_socket(flux):
    """A socket that watches nothing, so that only answers come."""
    with connect(flux.ws_url, proxy=None, max_queue=None) as socket:
        watcher = Watcher(socket)
        watcher.subscribe("nobody/at-all")
        yield watcher


@pytest.fixture
def namespace_of_module(namespace):
    """One namespace for all examples of a test."""
    return namespace


@pytest.fixture
def default_config(api):
    """Put the config back that requests of the document may change."""
    before = api.get("/api/admin/config").json()
    yield
    assert api.put("/api/admin/config", json=before).json() == before


TOLD_BESIDE = {412: {"entity"}, 409: {"holder", "claim"}}  # what stands there instead


@pytest.fixture(scope="module")
def openapi(flux):
    return schemathesis.openapi.from_url(f"{flux.url}/openapi.json")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/api/events"), ("POST", "/api/events"), ("POST", "/api/events/batch"), ("GET", ENTITIES)),
        *(("POST", f"{ENTITIES}/get"), ("POST", f"{ENTITIES}/delete")),
        *((method, ENTITIES + "/{entity_id}") for method in ("GET", "DELETE")),
        *(("GET", "/api/health"), ("GET", "/api/ready"), ("GET", "/api/live"), ("GET", "/api/ws")),
        *(("GET", "/api/connectors"), ("GET", "/api/connectors/{name}"), ("GET", "/api/admin/config")),
        *(("PUT", "/api/admin/config"), ("GET", "/api/admin/log")),
        *(("POST", "/api/claims"), ("DELETE", "/api/claims")),
    ],
)
@settings(bounded, max_examples=40)
@given(data=st.data())
def test_no_request_that_the_openapi_document_describes_meets_a_fault(
    default_config, openapi, method, path, data
):
    case = data.draw(openapi[path][method].as_strategy())
    answer = case.call()
    assert answer.status_code in BELOW_FAULT, (answer.status_code, answer.text)
    if answer.status_code >= 400:
        assert set(answer.json()) - TOLD_BESIDE.get(answer.status_code, set()) == {"error"}
