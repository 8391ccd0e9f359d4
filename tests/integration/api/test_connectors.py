"""`/api/connectors` of a server without a key, and `/api/namespaces` of one without tokens."""

from __future__ import annotations

import pytest

from tests.integration.api.support import assert_error

pytestmark = pytest.mark.real
NAMES = ["github", "gmail", "linkedin", "calendar"]


def test_the_four_connectors_are_not_configured(api):
    answer = api.get("/api/connectors")
    assert answer.status_code == 200
    entries = [{"name": name, "enabled": False, "status": "not_configured"} for name in NAMES]
    assert answer.json() == {"connectors": entries}
    assert all(list(entry) == ["name", "enabled", "status"] for entry in answer.json()["connectors"])


@pytest.mark.parametrize("name", NAMES)
def test_the_detail_adds_what_is_known_of_its_polls(api, name):
    assert api.get(f"/api/connectors/{name}").json() == {
        "name": name,
        "enabled": False,
        "status": "not_configured",
        "last_poll": None,
        "last_error": None,
        "poll_interval_seconds": None,
    }


@pytest.mark.parametrize("name", ["twitter", "GitHub", "github%20", "%00", "%FF", "..%2F", "a" * 5000])
def test_an_unknown_connector_is_404(api, name):
    assert_error(api.get(f"/api/connectors/{name}"), 404)


def test_connectors_through_the_second_entrance_are_the_same(proxy, api):
    assert proxy.get("/api/connectors").content == api.get("/api/connectors").content


SOURCE = {
    "name": "s",
    "url": "http://8.8.8.8/",
    "poll_interval_secs": 60,
    "entity_key": "e",
    "namespace": "n",
}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_without_a_key_it_is_500_with_a_text_that_says_how_to_make_one(api, name, method):
    answer = api.request(method, f"/api/connectors/{name}/token", json={"token": "t"})
    assert "flux connectors key" in assert_error(answer, 500)


@pytest.mark.parametrize("body", ["", "{", "[]", "{}", '{"token":""}', '{"token":7}', '{"token":"a\\nb"}'])
def test_a_bad_body_is_told_before_the_missing_key(api, body):
    assert_error(api.post("/api/connectors/github/token", content=body), 400)
    assert_error(api.post("/api/connectors/generic", content=body), 400)


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_a_token_for_an_unknown_connector_is_404(api, method):
    assert_error(api.request(method, "/api/connectors/twitter/token", json={"token": "t"}), 404)


def test_a_source_with_a_token_needs_a_key(api):
    body = SOURCE | {"auth_type": "bearer", "token": "t"}
    assert "flux connectors key" in assert_error(api.post("/api/connectors/generic", json=body), 500)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "2130706433"]
)
def test_a_source_of_a_private_address_is_400(api, host):
    body = SOURCE | {"url": f"http://{host}:3000/"}
    text = assert_error(api.post("/api/connectors/generic", json=body), 400)
    assert "FLUX_CONNECTORS_ALLOW_PRIVATE" in text


def test_there_are_no_sources_and_none_can_be_removed(api):
    assert api.get("/api/connectors/generic").json() == {"sources": []}
    assert_error(api.delete("/api/connectors/generic/src_none"), 404)


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [("POST", "github", "GET"), ("GET", "github/token", "DELETE, POST"), ("PUT", "generic", "GET, POST")],
)
def test_a_wrong_method_is_405(api, method, path, allowed):
    answer = api.request(method, f"/api/connectors/{path}")
    assert_error(answer, 405)
    assert answer.headers["allow"] == allowed
