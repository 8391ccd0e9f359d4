"""The HTTP client against a small server that answers by the contract."""

from __future__ import annotations

import json
import logging
import math
import socket
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from flux_actors.client.http import FluxClient, new_event
from flux_actors.errors import Refused, Unavailable
from tests.unit.client.contract_server import ContractServer

ODD_IDS = [
    "home/lamp",
    'home/"kitchen" lamp',
    "home/100%/a+b&c=d?e#f;g",
    "home/Küche/温度",
    "home/a/../b/./c",
    "..",
    "home//double/",
    "home/per%2Fcent",
    "home/line\u2028separator\\",
]


@pytest.mark.parametrize("entity_id", ODD_IDS)
def test_any_id_reaches_the_server_as_it_is(flux: ContractServer, entity_id: str) -> None:
    flux.entities[entity_id] = {"on": True}
    with FluxClient(flux.url) as client:
        assert client.get(entity_id).id == entity_id
        assert client.delete(entity_id).entity_id == entity_id
    assert flux.entities == {}


def test_publish_sends_the_envelope_and_returns_the_receipt(flux: ContractServer) -> None:
    with FluxClient(flux.url) as client:
        answer = client.publish("home/lamp", {"on": True}, source="me", stream="home.light", event_id="e-1")
    assert (answer.event_id, answer.stream, answer.position, answer.entity) == (
        "e-1",
        "home.light",
        "p-7",
        None,
    )
    assert (flux.last.method, flux.last.target) == ("POST", "/api/events")
    assert flux.last.json == {
        "stream": "home.light",
        "source": "me",
        "payload": {"entity_id": "home/lamp", "properties": {"on": True}},
        "eventId": "e-1",
    }


def test_publish_with_wait_returns_the_entity(flux: ContractServer) -> None:
    with FluxClient(flux.url) as client:
        answer = client.publish("home/lamp", {"on": True}, wait_applied=True)
    assert flux.last.parameters == {"wait": "applied"}
    assert answer.entity is not None
    assert answer.entity.properties == {"on": True}


@pytest.mark.parametrize("value", [2**64 - 1, -(2**63), 0.1, 1e300, 'a\u2028"\\b', None, {"a": [1, {}]}])
def test_values_come_back_equal(flux: ContractServer, value: object) -> None:
    with FluxClient(flux.url) as client:
        client.publish("home/lamp", {"value": value})
        assert client.get("home/lamp").properties == {"value": value}
        assert [entity.properties for entity in client.list()] == [{"value": value}]


@pytest.mark.parametrize("value", [math.nan, math.inf, datetime.now(UTC), "\ud800"])
def test_value_that_is_no_json_is_refused_and_not_sent(flux: ContractServer, value: object) -> None:
    with FluxClient(flux.url) as client, pytest.raises(Refused, match="cannot be sent as JSON"):
        client.publish("home/lamp", {"value": value})
    assert flux.requests == []


def test_batch_tells_what_became_of_each_event(flux: ContractServer) -> None:
    events = [new_event("home/a", {"n": 1}), new_event("home/b", {"n": 2}, stream="Bad")]
    with FluxClient(flux.url) as client:
        answer = client.publish_batch(events, atomic=True, wait_applied=True)
    assert (answer.successful, answer.failed) == (1, 1)
    assert [result.error for result in answer.results] == [None, "stream must be lower-case"]
    assert flux.last.parameters == {"atomic": "true", "wait": "applied"}
    assert flux.last.json == {"events": events}


@pytest.mark.parametrize("form", ["ndjson", "array"])
def test_list_yields_entities_of_both_forms(flux: ContractServer, form: str) -> None:
    flux.lines = form == "ndjson"
    flux.entities = {"home/b": {"text": "a\u2028b\u0085c"}, "home/a": {}, "work/a": {}}
    with FluxClient(flux.url) as client:
        assert [
            (entity.id, entity.properties) for entity in client.list(namespace="home", prefix="home/")
        ] == [
            ("home/a", {}),
            ("home/b", {"text": "a\u2028b\u0085c"}),
        ]
    assert flux.last.parameters == {"namespace": "home", "prefix": "home/"}


def test_list_and_count_ask_for_conditions_and_fields(flux: ContractServer) -> None:
    with FluxClient(flux.url) as client:
        list(client.list(where='a = "&"', fields=("a", "b")))
        assert flux.last.parameters == {"where": 'a = "&"', "fields": "a,b"}
        client.count(where="a > 1")
        assert flux.last.parameters == {"where": "a > 1", "count": "true"}


def test_list_that_breaks_in_the_middle_is_an_error_and_no_shorter_list(flux: ContractServer) -> None:
    line = json.dumps({"id": "home/a", "properties": {}, "lastUpdated": "x"}).encode() + b"\n"
    flux.answer_with(200, line, {"Content-Type": "application/x-ndjson"}, promised_bytes=10_000)
    with FluxClient(flux.url) as client:
        entities = client.list()
        assert next(entities).id == "home/a"
        with pytest.raises(Unavailable, match="broke"):
            next(entities)


def test_list_error_is_the_servers_own(flux: ContractServer) -> None:
    flux.answer_with(400, b'{"error": "prefix must not be empty"}')
    with FluxClient(flux.url) as client, pytest.raises(Refused, match="prefix must not be empty"):
        next(client.list(prefix=""))


def test_count(flux: ContractServer) -> None:
    flux.entities = {"home/a": {}, "home/b": {}, "work/a": {}}
    with FluxClient(flux.url) as client:
        assert client.count(prefix="home/") == 2


def test_get_many_tells_what_is_missing(flux: ContractServer) -> None:
    flux.entities = {"home/a": {"n": 1}}
    with FluxClient(flux.url) as client:
        found = client.get_many(["home/a", "home/b"])
    assert [entity.id for entity in found.entities] == ["home/a"]
    assert found.missing == ["home/b"]


def test_get_at_least_names_the_position(flux: ContractServer) -> None:
    flux.entities = {"home/a": {"n": 1}}
    with FluxClient(flux.url) as client:
        client.get("home/a", at_least="p-7")
    assert flux.last.headers["flux-position"] == "p-7"


@pytest.mark.parametrize(
    ("given", "sent", "left"),
    [
        ({"namespace": "home"}, {"namespace": "home"}, {"work/a": {}}),
        ({"prefix": "home/a"}, {"prefix": "home/a"}, {"home/b": {}, "work/a": {}}),
        ({"entity_ids": ("home/b",)}, {"entity_ids": ["home/b"]}, {"home/a": {}, "work/a": {}}),
        ({"entity_ids": []}, {"entity_ids": []}, {"home/a": {}, "home/b": {}, "work/a": {}}),
    ],
)
def test_delete_many(flux: ContractServer, given: dict[str, Any], sent: object, left: object) -> None:
    flux.entities = {"home/a": {}, "home/b": {}, "work/a": {}}
    with FluxClient(flux.url) as client:
        assert client.delete_many(**given).deleted == 3 - len(flux.entities)
    assert flux.last.json == sent
    assert flux.entities == left


def test_delete_many_of_two_kinds_is_refused_by_the_server(flux: ContractServer) -> None:
    with FluxClient(flux.url) as client, pytest.raises(Refused, match="exactly one") as caught:
        client.delete_many(namespace="home", prefix="home/")
    assert caught.value.status == 400


def test_history_is_newest_first_and_bounded_in_time(flux: ContractServer) -> None:
    with FluxClient(flux.url) as client:
        for number in range(3):
            client.publish("home/a b", {"n": number})
        events = client.history("home/a b", since=datetime(2030, 1, 31, 8, tzinfo=UTC), until="x", limit=2)
    assert [event["payload"]["properties"]["n"] for event in events] == [2, 1]
    assert flux.last.parameters == {
        "entity": "home/a b",
        "since": "2030-01-31T08:00:00+00:00",
        "until": "x",
        "limit": "2",
    }


def test_what_was_is_asked_by_time_or_position(flux: ContractServer) -> None:
    moment = datetime(2030, 1, 31, 8, tzinfo=UTC)
    flux.entities = {"home/a": {"n": 2}}
    flux.past = {"0.1.0": {"home/a": {"n": 1}}, moment.isoformat(): {"home/b": {"n": 0}}}
    with FluxClient(flux.url) as client:
        assert client.get("home/a", at="0.1.0", fields=["n", "m"]).properties == {"n": 1}
        assert flux.last.parameters == {"at": "0.1.0", "fields": "n,m"}
        assert [entity.id for entity in client.list(prefix="home/", at=moment)] == ["home/b"]
        assert client.count(at=moment) == 1
        with pytest.raises(Refused, match="zone"):
            client.get("home/a", at=datetime(2030, 1, 31))  # noqa: DTZ001 - the case itself


def test_history_comes_in_parts_until_there_is_enough(flux: ContractServer) -> None:
    for number in range(1_203):
        flux.events.append({"eventId": str(number), "payload": {"entity_id": "home/a"}})
    flux.forgot = True
    with FluxClient(flux.url) as client:
        parts = [*client.history_parts("home/a", limit=10_000)]
        assert [len(part.events) for part in parts] == [500, 500, 203]
        assert [part.complete_since is None for part in parts] == [True, True, False]
        assert [len(part.events) for part in client.history_parts("home/a", limit=501)] == [500, 1]
        assert len(client.history("home/a")) == 100


def test_log_is_asked_for_as_the_admin(flux: ContractServer) -> None:
    with FluxClient(flux.url, token="mine", admin_token="admins") as client:
        assert [row["partition"] for row in client.log()["partitions"]] == [0, 1, 2]
    assert flux.last.headers["authorization"] == "Bearer admins"


def test_time_without_zone_is_refused(flux: ContractServer) -> None:
    with FluxClient(flux.url) as client, pytest.raises(Refused, match="zone"):
        client.history("home/a", since=datetime(2030, 1, 31))  # noqa: DTZ001 - the case itself


def test_health_connectors_and_config(flux: ContractServer) -> None:
    with FluxClient(flux.url) as client:
        assert client.health()["status"] == "ok"
        assert client.connectors() == [{"name": "github", "enabled": False, "status": "not_configured"}]
        assert client.admin_config()["rate_limit_enabled"] is True
        assert client.set_admin_config({"rate_limit_enabled": False})["rate_limit_enabled"] is False
    assert (flux.last.method, flux.last.json) == ("PUT", {"rate_limit_enabled": False})


@pytest.mark.parametrize(
    ("status", "body", "error", "message"),
    [
        (400, b'{"error": "source must not be empty"}', Refused, "source must not be empty"),
        (401, b'{"error": "send a token"}', Refused, "send a token"),
        (412, b'{"error": "a newer event came first", "entity": null}', Refused, "a newer event"),
        (302, b"", Refused, "answered 302 without a reason"),
        (404, b"<html>nginx</html>", Refused, "answered 404 without a reason"),
        (503, b'{"error": "the log is away"}', Unavailable, "the log is away"),
        (503, b'{"status": "recovering"}', Unavailable, "its status is recovering"),
        (500, b"\xff", Unavailable, "answered 500 without a reason"),
        (200, b"<html>", Refused, "not one of Flux"),
        (200, b'{"other": 1}', Refused, "not one of Flux"),
    ],
)
def test_answers_become_errors_of_the_tree(
    flux: ContractServer, status: int, body: bytes, error: type[Exception], message: str
) -> None:
    flux.answer_with(status, body)
    with FluxClient(flux.url) as client, pytest.raises(error, match=message) as caught:
        client.get("home/lamp")
    if isinstance(caught.value, Refused) and status != 200:
        assert caught.value.status == status


def test_retry_after_is_kept(flux: ContractServer) -> None:
    flux.answer_with(503, b'{"error": "later"}', {"Retry-After": "7"})
    flux.answer_with(429, b'{"error": "slower"}', {"Retry-After": "9"})
    with FluxClient(flux.url) as client:
        with pytest.raises(Unavailable) as later:
            client.health()
        with pytest.raises(Refused) as slower:
            client.health()
    assert later.value.retry_after_s == 7
    assert slower.value.headers == {"Retry-After": "9"}


def test_nobody_listening_says_what_to_do() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        url = f"http://127.0.0.1:{free.getsockname()[1]}"
    with FluxClient(url) as client, pytest.raises(Unavailable, match=f"cannot reach Flux at {url}; start it"):
        client.health()


def test_silent_server_is_unavailable() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with FluxClient(url, timeout_s=0.05) as client, pytest.raises(Unavailable, match="too long"):
            client.health()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost:3000",
        "ftp://host",
        "http://",
        "http://me:secret@host",
        "http://host?token=secret",
        "http://host:port",
        "http://ho st",
        "http://a..b/",
    ],
)
def test_url_that_cannot_be_right_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(Refused, match="must look like") as caught:
        FluxClient(url)
    assert "secret" not in caught.value.message


def test_url_may_have_a_path_and_a_slash_at_its_end(flux: ContractServer) -> None:
    flux.answer_with(200, b"{}")
    with FluxClient(f"{flux.url.replace('http', 'HTTP')}/flux/") as client:
        client.health()
    assert flux.last.target == "/flux/api/health"


def test_tokens_go_into_the_header_and_nowhere_else(
    flux: ContractServer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with FluxClient(flux.url, token="secret-one", admin_token="secret-two") as client:
        client.publish("home/lamp", {"on": True})
        list(client.list())
        client.set_admin_config({})
    sent = [request.headers["authorization"] for request in flux.requests]
    assert sent == ["Bearer secret-one", "Bearer secret-one", "Bearer secret-two"]
    assert not any("secret" in request.target for request in flux.requests)
    assert "secret" not in caplog.text
    assert "secret" not in repr(client) + repr(vars(client)["_http"])


def test_without_a_token_nothing_is_sent(flux: ContractServer) -> None:
    with FluxClient(flux.url, token="") as client:
        client.health()
    assert "authorization" not in flux.last.headers


@pytest.mark.parametrize("token", ["secret\n", "sécret", "two secrets"])
def test_token_that_no_header_can_hold_is_refused_without_repeating_it(token: str) -> None:
    with pytest.raises(Refused, match="a token must be") as caught:
        FluxClient(token=token)
    assert "cret" not in caught.value.message.replace("check FLUX_TOKEN", "")


def test_proxy_of_the_environment_is_not_asked_for_this_machine(
    flux: ContractServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    with FluxClient(flux.url) as client:
        assert client.health()["status"] == "ok"


def test_clients_import_neither_ray_nor_nats() -> None:
    program = (
        "import sys, flux_actors.client.http, flux_actors.client.watch, flux_actors.client.machine;"
        "sys.exit(bool({'ray', 'nats', 'fastapi'} & sys.modules.keys()))"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
