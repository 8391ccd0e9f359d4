"""A slash may be quoted in an id and nowhere else."""

from __future__ import annotations

import pytest

from tests.unit.api.standing import event


@pytest.mark.parametrize(
    "path", ["/api%2Flive", "/api/admin%2fconfig", "/api/namespaces/a%2Fb", "/%2F", "/docs%2F"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
async def test_a_route_with_a_quoted_slash_is_none(client, path, method):
    answer = await client.request(method, path)
    assert (answer.status_code, list(answer.json())) == (404, ["error"])
    assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("path", ["/api/live", "/api/%6Cive", "/api/state/entities?prefix=n%2F"])
async def test_a_plain_one_is_taken(client, path):
    assert (await client.get(path)).status_code == 200


async def test_an_id_may_be_quoted_whole(client, standing):
    await standing.publish(event("n/e", {"v": 1}))
    for spelt in ("n/e", "n%2Fe", "n%2fe"):
        assert (await client.get(f"/api/state/entities/{spelt}")).json()["id"] == "n/e"
