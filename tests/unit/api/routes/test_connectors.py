"""The connectors that existing clients ask for."""

from __future__ import annotations

import pytest

NAMES = ["github", "gmail", "linkedin", "calendar"]


async def test_the_four_are_listed_and_none_is_configured(client):
    answer = await client.get("/api/connectors")
    assert answer.json() == {
        "connectors": [{"name": name, "enabled": False, "status": "not_configured"} for name in NAMES]
    }


@pytest.mark.parametrize("name", NAMES)
async def test_one_tells_its_poll_facts(client, name):
    assert (await client.get(f"/api/connectors/{name}")).json() == {
        "name": name,
        "enabled": False,
        "status": "not_configured",
        "last_poll": None,
        "last_error": None,
        "poll_interval_seconds": None,
    }


async def test_an_unknown_one_is_404(client):
    answer = await client.get("/api/connectors/fax")
    assert answer.status_code == 404
    assert "github" in answer.json()["error"]
