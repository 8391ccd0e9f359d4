"""The OpenAPI document: every route is in it, with its body, its parameters and the shape of its errors."""

from __future__ import annotations

import pytest

from flux_api.openapi import describe


@pytest.fixture
async def document(client):
    return (await client.get("/openapi.json")).json()


async def test_every_path_of_the_contract_is_in_it(document):
    assert set(document["paths"]) >= {
        "/api/events",
        "/api/events/batch",
        "/api/state/entities",
        "/api/state/entities/get",
        "/api/state/entities/delete",
        "/api/health",
        "/api/ready",
        "/api/live",
        "/api/admin/config",
        "/api/connectors",
        "/api/connectors/{name}",
        "/api/stream",
        "/api/ws",
    }
    assert any(path.startswith("/api/state/entities/{entity_id") for path in document["paths"])


async def test_every_operation_has_a_summary_and_the_shape_of_its_errors(document):
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            schema = operation["responses"]["4XX"]["content"]["application/json"]["schema"]
            assert schema["required"] == ["error"]


async def test_every_post_and_put_tells_its_body(document):
    for path, operations in document["paths"].items():
        for method in {"post", "put"} & set(operations):
            assert operations[method]["requestBody"]["required"], (method, path)


async def test_operations_have_ids_of_their_own(document):
    ids = [op["operationId"] for operations in document["paths"].values() for op in operations.values()]
    assert len(ids) == len(set(ids))


async def test_there_is_a_page_of_it(client):
    answer = await client.get("/docs")
    assert answer.status_code == 200
    assert "openapi.json" in answer.text


def test_a_parameter_of_the_path_is_required_and_one_of_the_query_only_if_it_must_be():
    described = describe("x", query=["entity", "limit"], path=["name"])["openapi_extra"]["parameters"]
    assert {(item["name"], item["in"], item.get("required", False)) for item in described} == {
        ("entity", "query", True),
        ("limit", "query", False),
        ("name", "path", True),
    }
    assert "parameters" not in describe("x")["openapi_extra"]
