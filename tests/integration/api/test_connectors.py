"""`/api/connectors` and `/api/namespaces` as this version answers them."""

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


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
@pytest.mark.parametrize("path", ["/api/namespaces", "/api/namespaces/a", "/api/namespaces/a/tokens"])
def test_without_auth_there_are_no_namespaces(api, method, path):
    assert_error(api.request(method, path, json={"name": "abc"}), 404)


def test_connectors_through_the_second_entrance_are_the_same(proxy, api):
    assert proxy.get("/api/connectors").content == api.get("/api/connectors").content
