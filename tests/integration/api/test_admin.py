"""`/api/admin/config`: partial changes, exact types and ranges, and that the limits are in force."""

from __future__ import annotations

import json

import pytest

from tests.busy import busy
from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
CONFIG = "/api/admin/config"
DELETE = "/api/state/entities/delete"
MIB = 1024 * 1024
DEFAULT = {
    "rate_limit_enabled": True,
    "rate_limit_per_namespace_per_minute": 10_000,
    "body_size_limit_single_bytes": MIB,
    "body_size_limit_batch_bytes": 10 * MIB,
}


@pytest.fixture(autouse=True)
def _default_config(api, eventually):
    """Begin and end with the default config, in force."""
    api.put(CONFIG, json=DEFAULT)
    yield
    assert api.put(CONFIG, json=DEFAULT).json() == DEFAULT
    eventually(lambda: api.get(CONFIG).json() == DEFAULT, 1)


def test_the_config_has_exactly_these_keys(api):
    answer = api.get(CONFIG)
    assert answer.status_code == 200
    assert answer.content == json.dumps(DEFAULT, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rate_limit_enabled", False), ("rate_limit_enabled", True)),
        *(("rate_limit_per_namespace_per_minute", value) for value in (1, 500, 10_000_000)),
        *(("body_size_limit_single_bytes", value) for value in (1024, 2048, 8 * MIB)),
        *(("body_size_limit_batch_bytes", value) for value in (1024, 4096, 64 * MIB)),
    ],
)
def test_a_partial_change_is_answered_with_the_full_config(api, eventually, name, value):
    answer = api.put(CONFIG, json={name: value})
    assert (answer.status_code, answer.json()) == (200, DEFAULT | {name: value})
    eventually(lambda: api.get(CONFIG).json() == DEFAULT | {name: value}, 1)


def test_several_keys_change_at_once(api):
    change = {"rate_limit_enabled": False, "body_size_limit_batch_bytes": 5 * MIB}
    assert api.put(CONFIG, json=change).json() == DEFAULT | change


def test_an_empty_change_changes_nothing(api):
    assert api.put(CONFIG, json={}).json() == DEFAULT


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("rate_limit_enabled", value) for value in (1, 0, None, "true", [], {})),
        *(
            ("rate_limit_per_namespace_per_minute", v)
            for v in (0, -1, 10_000_001, True, 1.0, "5", None, [], 2**64)
        ),
        *(
            ("body_size_limit_single_bytes", v)
            for v in (0, 1023, 8 * MIB + 1, True, 2048.0, "2048", None, {})
        ),
        *(
            ("body_size_limit_batch_bytes", v)
            for v in (0, 1023, 64 * MIB + 1, False, 2048.5, "2048", None, -1)
        ),
        *(("unknown", 1), ("", 1), ("Rate_limit_enabled", True), ("rateLimitEnabled", True), ("🙂", None)),
    ],
    ids=repr,
)
def test_a_key_or_value_that_does_not_fit_is_named_and_changes_nothing(api, name, value):
    change = {"body_size_limit_batch_bytes": 2 * MIB, name: value}
    sentence = assert_error(api.put(CONFIG, json=change), 400)
    assert "config key" in sentence or name in sentence
    assert api.get(CONFIG).json() == DEFAULT


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"1", b'"x"', b"{", b"\xff", b"[" * 1000, b'{"\\ud800":1}'],
    ids=lambda b: repr(b[:9]),
)
def test_a_body_that_is_no_object_is_refused(api, body):
    assert_error(api.put(CONFIG, content=body), 400)
    assert api.get(CONFIG).json() == DEFAULT


def test_a_single_event_limit_is_in_force_within_a_second(api, namespace, eventually):
    small, large = event(f"{namespace}/e", {"a": 1}), event(f"{namespace}/e", {"a": "x" * 2000})
    api.put(CONFIG, json={"body_size_limit_single_bytes": 1024})
    eventually(lambda: api.post("/api/events", json=large).status_code == 413, busy())
    assert "1024" in assert_error(api.post("/api/events", json=large), 413)
    assert api.post("/api/events", json=small).status_code == 200
    assert api.post("/api/events/batch", json=[large]).json()["successful"] == 1
    api.put(CONFIG, json={"body_size_limit_single_bytes": 4096})
    eventually(lambda: api.post("/api/events", json=large).status_code == 200, busy())


def test_a_batch_limit_is_in_force_within_a_second(api, namespace, eventually):
    batch = [event(f"{namespace}/e", {"a": "x" * 2000})]
    api.put(CONFIG, json={"body_size_limit_batch_bytes": 1024})
    eventually(lambda: api.post("/api/events/batch", json=batch).status_code == 413, busy())
    assert api.post("/api/events", json=batch[0]).status_code == 200


def test_an_event_of_the_largest_limit_is_taken(api, namespace, read, eventually):
    api.put(CONFIG, json={"body_size_limit_single_bytes": 8 * MIB})
    text = "x" * (8 * MIB - 1000)
    body = event(f"{namespace}/e", {"text": text})
    eventually(lambda: api.post("/api/events", json=body).status_code == 200, 30)
    assert read(f"{namespace}/e") == {"text": text}
    assert api.post(DELETE, json={"namespace": namespace}).json()["deleted"] == 1


def test_a_batch_above_the_default_limit_is_split_and_lands_whole(api, namespace, eventually):
    api.put(CONFIG, json={"body_size_limit_batch_bytes": 64 * MIB})
    batch = [event(f"{namespace}/e{n}", {"text": "x" * MIB}) for n in range(20)]
    eventually(lambda: api.post("/api/events/batch", json=batch).status_code == 200, 30)
    assert api.post(DELETE, json={"namespace": namespace}).json()["deleted"] == 20


def test_with_no_admin_token_set_loopback_may_change_the_config_with_any_credentials(api):
    answer = api.put(CONFIG, json={}, headers={"Authorization": "Bearer whatever"})
    assert answer.status_code == 200


def test_the_config_through_the_second_entrance_is_the_same(proxy, api):
    assert proxy.get(CONFIG).json() == DEFAULT
    assert proxy.put(CONFIG, json={"rate_limit_enabled": False}).json()["rate_limit_enabled"] is False
    assert_error(proxy.put(CONFIG, json={"unknown": 1}), 400)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/api/namespaces"),
        ("GET", "/api/namespaces"),
        ("GET", "/api/namespaces/abc"),
        ("DELETE", "/api/namespaces/abc"),
        ("POST", "/api/namespaces/abc/tokens"),
        ("DELETE", "/api/namespaces/abc/tokens/x"),
    ],
)
def test_without_auth_there_are_no_namespaces(api, method, path):
    assert_error(api.request(method, path, json={"name": "abc"}), 404)
