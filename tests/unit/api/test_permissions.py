"""Who may do what: every route of the app, asked by every kind of client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import httpx
import pytest
from starlette.routing import Route

from flux_actors import limits
from flux_api.app import _ROUTERS, build_app
from tests.unit.api.event_streams import StreamClient
from tests.unit.api.standing import Standing, event, until
from tests.unit.api.tenants import ADMIN_TOKEN, Tenants

KINDS = ("none", "wrong", "admin", "other", "main", "read", "write", "manage", "prefix", "expired")
Ask = Callable[["Asker"], Awaitable[Any]]


class Asker:
    """A client of one kind."""

    def __init__(self, tenants: Tenants, http: httpx.AsyncClient, kind: str) -> None:
        self.tenants = tenants
        self.kind = kind
        self._http = http
        self._headers = tenants.headers(kind)

    async def status(self, method: str, path: str, body: Any = None) -> int:
        return (await self.answer(method, path, body)).status_code

    async def json(self, method: str, path: str, body: Any = None) -> Any:
        answer = await self.answer(method, path, body)
        return answer.json() if answer.status_code == 200 else answer.status_code

    async def answer(self, method: str, path: str, body: Any = None) -> httpx.Response:
        answer = await self._http.request(method, path, json=body, headers=self._headers)
        if answer.status_code == 401:
            assert answer.headers["WWW-Authenticate"] == "Bearer"
            assert "Bearer <" in answer.json()["error"]
        return answer


class Row(NamedTuple):
    """A question about a route, and what is answered to each kind of client."""

    route: str
    about: str
    ask: Ask
    expected: dict[str, Any]


def everybody(value: Any) -> dict[str, Any]:
    return dict.fromkeys(KINDS, value)


def table(*values: Any) -> dict[str, Any]:
    return dict(zip(KINDS, values, strict=True))


ONE = "/api/state/entities/{entity_id:any}"
LIST = "/api/state/entities"
NAMESPACE = "/api/namespaces/{name}"
#                none wrong admin other main read write manage prefix expired
WRITES = table(401, 401, 403, 403, 200, 403, 200, 403, 403, 401)
WRITES_IN_KITCHEN = WRITES | {"prefix": 200}
READS = table(404, 404, 404, 404, 200, 200, 200, 403, 403, 404)
READS_IN_KITCHEN = READS | {"prefix": 200}
GOVERNS = table(401, 401, 200, 403, 403, 403, 403, 403, 403, 401)
MANAGES = table(401, 401, 200, 403, 200, 403, 403, 200, 403, 401)
SEES_ITS_OWN = table(200, 401, 200, 200, 200, 200, 200, 200, 200, 401)
CONFIGURES = table(401, 401, 403, 200, 200, 403, 403, 200, 403, 401)
SEES_ALL = ("main", "read", "write")


def seen(all_of_it: Any, kitchen: Any, nothing: Any) -> dict[str, Any]:
    """Return what is shown of `vault` to each kind of client."""
    return everybody(nothing) | dict.fromkeys(SEES_ALL, all_of_it) | {"prefix": kitchen}


def writes(path: str, method: str = "POST", body: Any = None) -> Ask:
    return lambda asker: asker.status(method, path, body)


async def batch(asker: Asker) -> list[bool]:
    bodies = [event("vault/x", {"v": 1}), event("vault/kitchen/x", {"v": 1})]
    answer = await asker.json("POST", "/api/events/batch", bodies)
    return [result["error"] is None for result in answer["results"]]


async def many(asker: Asker) -> list[str]:
    ids = ["vault/x", "vault/kitchen/x", "acme/x"]
    answer = await asker.json("POST", "/api/state/entities/get", {"ids": ids})
    found = [entity["id"] for entity in answer["entities"]]
    assert found + answer["missing"] == sorted(ids, key=lambda i: (i not in found, ids.index(i)))
    return found


async def listed(asker: Asker) -> list[str]:
    ids = [entity["id"] for entity in await asker.json("GET", LIST)]
    assert await asker.json("GET", f"{LIST}?count=true") == {"count": len(ids)}
    assert (await asker.answer("HEAD", LIST)).headers["Flux-Count"] == str(len(ids))
    by_prefix = [entity["id"] for entity in await asker.json("GET", f"{LIST}?prefix=vault/")]
    assert by_prefix == [entity_id for entity_id in ids if entity_id.startswith("vault/")]
    return ids


async def history(asker: Asker) -> Any:
    answer = await asker.json("GET", "/api/events?entity=vault/x")
    return answer if isinstance(answer, int) else len(answer)


async def deletes_ids(asker: Asker) -> Any:
    body = {"entity_ids": ["vault/never", "vault/kitchen/never"]}
    answer = await asker.json("POST", "/api/state/entities/delete", body)
    return answer if isinstance(answer, int) else answer["deleted"]


async def makes_token(asker: Asker) -> int:
    return await asker.status("POST", "/api/namespaces/vault/tokens", {"scopes": ["read"]})


async def revokes_token(asker: Asker) -> int:
    """Revoke a token that is none: who may is told so."""
    status = await asker.status("DELETE", "/api/namespaces/vault/tokens/none")
    return 200 if status == 404 else status


async def registers(asker: Asker) -> int:
    return await asker.status("POST", "/api/namespaces", {"name": f"by-{asker.kind}"})


async def ends_namespace(asker: Asker) -> int:
    status = await asker.status("DELETE", "/api/namespaces/never")
    return 200 if status == 404 else status


async def gives_connector_token(asker: Asker) -> int:
    """Give a token to a server without a key: who may is told so."""
    status = await asker.status("POST", "/api/connectors/github/token", {"token": "t"})
    return 200 if status == 500 else status


async def forgets_connector_token(asker: Asker) -> int:
    status = await asker.status("DELETE", "/api/connectors/github/token")
    return 200 if status == 500 else status


async def adds_source(asker: Asker) -> int:
    namespace = "acme" if asker.kind == "other" else "vault"
    source = {"name": "s", "url": "http://8.8.8.8/", "poll_interval_secs": 60, "entity_key": "e"}
    return await asker.status("POST", "/api/connectors/generic", source | {"namespace": namespace})


async def removes_source(asker: Asker) -> int:
    status = await asker.status("DELETE", "/api/connectors/generic/none")
    return 200 if status == 404 else status


async def claims(asker: Asker) -> int:
    """Take a claim of one's own and let it go, so that the next client can."""
    body = {"entity_id": "vault/kitchen/task", "holder": asker.kind, "ttl_ms": 60_000}
    status = await asker.status("POST", "/api/claims", body)
    path = f"/api/claims?entity_id=vault/kitchen/task&holder={asker.kind}"
    assert await asker.status("DELETE", path) == status
    return status


async def streams(asker: Asker) -> Any:
    """Begin a stream with the present state of a private namespace."""
    query = {"prefix": "vault/", "initial": "true"}
    headers = asker.tenants.headers(asker.kind)
    stream = await StreamClient(asker.tenants.standing, query, headers).begun()
    if stream.status == 200:
        await until(lambda: stream.source.last_id)  # then it has all that it begins with
    await stream.close()
    return sorted(m["entity"]["id"] for m in stream.messages()) if stream.status == 200 else stream.status


REFUSED = {"wrong": 401, "expired": 401}
VAULT_IDS = ["vault/kitchen/x", "vault/x", "vault/y"]
ROWS = [
    Row(
        "POST /api/events",
        "a private entity",
        writes("/api/events", body=event("vault/x", {"v": 1})),
        WRITES,
    ),
    Row(
        "POST /api/events",
        "below a prefix",
        writes("/api/events", body=event("vault/kitchen/x", {"v": 1})),
        WRITES_IN_KITCHEN,
    ),
    Row(
        "POST /api/events",
        "an id without a namespace",
        writes("/api/events", body=event("lonely", {"v": 1})),
        everybody(401),
    ),
    Row("POST /api/events", "no id", writes("/api/events", body=event(None)), everybody(401)),
    Row(
        "POST /api/events",
        "the server's own",
        writes("/api/events", body=event("flux-core/x", {"v": 1})),
        everybody(403),
    ),
    Row(
        "POST /api/events/batch",
        "two private entities",
        batch,
        everybody([False, False])
        | {"main": [True, True], "write": [True, True], "prefix": [False, True]},
    ),
    Row("POST /api/claims", "below a prefix", claims, WRITES_IN_KITCHEN),
    Row(
        "DELETE /api/claims",
        "a private entity",
        writes("/api/claims?entity_id=vault/task&holder=me", "DELETE"),
        WRITES,
    ),
    Row("GET /api/events", "a private entity", history, seen(1, 403, 0) | {"manage": 403}),
    Row(f"GET {ONE}", "a public entity", writes(f"{LIST}/acme/x", "GET"), everybody(200)),
    Row(f"GET {ONE}", "a private entity", writes(f"{LIST}/vault/x", "GET"), READS),
    Row(f"GET {ONE}", "below a prefix", writes(f"{LIST}/vault/kitchen/x", "GET"), READS_IN_KITCHEN),
    Row(f"HEAD {ONE}", "a private entity", writes(f"{LIST}/vault/x", "HEAD"), READS),
    Row(f"DELETE {ONE}", "a private entity", writes(f"{LIST}/vault/z", "DELETE"), WRITES),
    Row(
        f"GET {LIST}",
        "everything",
        listed,
        seen(["acme/x", *VAULT_IDS], ["acme/x", "vault/kitchen/x"], ["acme/x"]),
    ),
    Row(
        f"HEAD {LIST}",
        "everything",
        listed,
        seen(["acme/x", *VAULT_IDS], ["acme/x", VAULT_IDS[0]], ["acme/x"]),
    ),
    Row(
        "POST /api/state/entities/get",
        "some",
        many,
        seen(["vault/x", "vault/kitchen/x", "acme/x"], ["vault/kitchen/x", "acme/x"], ["acme/x"]),
    ),
    Row(
        "POST /api/state/entities/delete",
        "a namespace",
        writes("/api/state/entities/delete", body={"namespace": "vault"}),
        WRITES,
    ),
    Row(
        "POST /api/state/entities/delete",
        "a prefix",
        writes("/api/state/entities/delete", body={"prefix": "vault/kitchen/x"}),
        WRITES_IN_KITCHEN,
    ),
    Row(
        "POST /api/state/entities/delete",
        "a prefix of many namespaces",
        writes("/api/state/entities/delete", body={"prefix": "va"}),
        everybody(401),
    ),
    Row(
        "POST /api/state/entities/delete",
        "ids",
        deletes_ids,
        table(401, 401, 0, 0, 2, 0, 2, 0, 1, 0),
    ),
    Row("POST /api/namespaces", "a new one", registers, GOVERNS),
    Row("GET /api/namespaces", "all", writes("/api/namespaces", "GET"), GOVERNS),
    Row(f"GET {NAMESPACE}", "a public one", writes("/api/namespaces/acme", "GET"), everybody(200)),
    Row(
        f"GET {NAMESPACE}",
        "a private one",
        writes("/api/namespaces/vault", "GET"),
        table(404, 404, 200, 404, 200, 200, 200, 200, 200, 404),
    ),
    Row(f"DELETE {NAMESPACE}", "one that is none", ends_namespace, GOVERNS),
    Row(f"GET {NAMESPACE}/tokens", "all", writes("/api/namespaces/vault/tokens", "GET"), MANAGES),
    Row(f"POST {NAMESPACE}/tokens", "a token", makes_token, MANAGES),
    Row(f"DELETE {NAMESPACE}/tokens/{{token_id}}", "a token", revokes_token, MANAGES),
    Row("GET /api/admin/config", "it holds no secret", writes("/api/admin/config", "GET"), everybody(200)),
    Row(
        "PUT /api/admin/config",
        "a change",
        writes("/api/admin/config", "PUT", {"rate_limit_enabled": True}),
        GOVERNS,
    ),
    Row("GET /api/admin/log", "for operators", writes("/api/admin/log", "GET"), GOVERNS),
    Row("GET /metrics", "for operators", writes("/metrics", "GET"), GOVERNS),
    Row("GET /api/status", "for operators", writes("/api/status", "GET"), GOVERNS),
    *(Row(f"{m} /api/{p}", "a probe", writes(f"/api/{p}", m), everybody(200))
      for p in ("health", "ready", "live") for m in ("GET", "HEAD")),
    Row("GET /api/ws", "no socket", writes("/api/ws", "GET"), everybody(426)),
    Row("GET /api/stream", "everything", streams, seen(VAULT_IDS, VAULT_IDS[:1], []) | REFUSED),
    Row("GET /api/connectors", "its own", writes("/api/connectors", "GET"), SEES_ITS_OWN),
    Row("GET /api/connectors/{name}", "one", writes("/api/connectors/github", "GET"), SEES_ITS_OWN),
    Row("GET /api/connectors/{name}", "sources", writes("/api/connectors/generic", "GET"), SEES_ITS_OWN),
    Row("POST /api/connectors/{name}/token", "a token", gives_connector_token, CONFIGURES),
    Row("DELETE /api/connectors/{name}/token", "a token", forgets_connector_token, CONFIGURES),
    Row("POST /api/connectors/generic", "a source", adds_source, CONFIGURES),
    Row("DELETE /api/connectors/generic/{source_id}", "none", removes_source, CONFIGURES),
]  # fmt: skip


@pytest.fixture
async def asker_of(monkeypatch):
    """Return a client of each kind of one app with tenants."""
    monkeypatch.setattr(limits, "heartbeat_s", 0.002)
    standing = await Standing.up(auth_enabled=True, admin_token=ADMIN_TOKEN)
    tenants = await Tenants.settle(standing)
    transport = httpx.ASGITransport(build_app(standing.door.settings, standing.door))
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as http:
        yield lambda kind: Asker(tenants, http, kind)
    await standing.down()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.route}: {row.about}")
async def test_every_client_may_do_what_it_may_and_nothing_else(asker_of, row):
    assert {kind: await row.ask(asker_of(kind)) for kind in KINDS} == row.expected


def test_no_route_is_left_out():
    routes = {
        f"{method} {route.path}"
        for router in _ROUTERS
        for route in router.routes
        if isinstance(route, Route)
        for method in route.methods or ()
    }
    assert routes == {row.route for row in ROWS}


async def test_with_tokens_off_everybody_is_anyone(client, standing):
    answer = await client.post("/api/events", json=event("vault/x", {"v": 1}))
    assert answer.status_code == 200
    for method, path in (("GET", "/api/namespaces/vault"), ("POST", "/api/namespaces")):
        answer = await client.request(method, path, json={"name": "vault"})
        assert answer.status_code == 404
        assert "FLUX_AUTH_ENABLED" in answer.json()["error"]
