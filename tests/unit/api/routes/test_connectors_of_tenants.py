"""Connectors with tokens on: each namespace has its own, and nobody else sees or changes them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_api.app import build_app
from tests.unit.api.routes.test_connectors import KEY, SOURCE, TOKEN, recorded, the_record
from tests.unit.api.standing import Standing
from tests.unit.api.tenants import ADMIN_TOKEN, Tenants


class TestTenants:
    @pytest.fixture
    async def tenants(self, monkeypatch):
        monkeypatch.setattr(limits, "heartbeat_s", 0.002)
        key = SecretStr(KEY)
        standing = await Standing.up(auth_enabled=True, admin_token=ADMIN_TOKEN, encryption_key=key)
        yield await Tenants.settle(standing)
        await standing.down()

    @pytest.fixture
    async def ask(self, tenants):
        door = tenants.standing.door
        transport = httpx.ASGITransport(build_app(door.settings, door))
        async with httpx.AsyncClient(transport=transport, base_url="http://flux") as http:

            async def ask(kind: str, method: str, path: str, body: Any = None) -> httpx.Response:
                return await http.request(
                    method, f"/api/connectors{path}", json=body, headers=tenants.headers(kind)
                )

            yield ask

    async def test_each_namespace_has_its_own(self, ask, tenants):
        assert (await ask("main", "POST", "/github/token", {"token": TOKEN})).status_code == 200
        assert set(await the_record(tenants.standing, "vault")) == {"github"}
        told = {
            kind: (await ask(kind, "GET", "/github")).json()["status"] for kind in ("main", "read", "other")
        }
        assert told == {"main": "configured", "read": "configured", "other": "not_configured"}
        assert (await ask("none", "GET", "/github")).json()["status"] == "not_configured"
        assert tenants.standing.door.connectors.actors.heard == ["vault"]

    async def test_a_record_tells_nothing_of_a_private_namespace_but_its_id(self, ask, tenants):
        await ask("main", "POST", "/github/token", {"token": TOKEN})
        await ask("other", "POST", "/gmail/token", {"token": TOKEN})
        door = tenants.standing.door
        transport = httpx.ASGITransport(build_app(door.settings, door))
        async with httpx.AsyncClient(transport=transport, base_url="http://flux") as http:
            records = await recorded(http, 2)
        private, public = [record for record in records if record["what"] == "connector.token"]
        namespaces = door.tenancy.registry
        assert private["details"] == {"namespaceId": _id(namespaces, "vault"), "connector": "github"}
        assert public["details"] == {
            "namespaceId": _id(namespaces, "acme"),
            "name": "acme",
            "connector": "gmail",
        }
        assert private["who"] == f"token {tenants.tokens['main'].split('_')[1]}"

    async def test_a_source_writes_to_the_tokens_own_namespace_alone(self, ask):
        answer = await ask("main", "POST", "/generic", SOURCE | {"namespace": "acme"})
        assert answer.status_code == 403
        assert "'vault' alone" in answer.json()["error"]
        assert (await ask("main", "POST", "/generic", SOURCE | {"namespace": "vault"})).status_code == 200
        assert len((await ask("main", "GET", "/generic")).json()["sources"]) == 1
        for kind in ("other", "none", "admin"):
            assert (await ask(kind, "GET", "/generic")).json()["sources"] == []

    async def test_nobody_removes_the_source_of_another(self, ask):
        added = await ask("main", "POST", "/generic", SOURCE | {"namespace": "vault"})
        path = f"/generic/{added.json()['source_id']}"
        assert (await ask("other", "DELETE", path)).status_code == 404
        assert (await ask("manage", "DELETE", path)).status_code == 200

    async def test_a_token_with_a_prefix_configures_nothing_outside_of_it(self, ask, tenants):
        def narrow(namespace: Any) -> Any:
            token_id = tenants.tokens["manage"].split("_")[1]
            record = namespace.tokens[token_id]
            kept = type(record)(**{**_fields(record), "prefix": "vault/kitchen/"})
            return type(namespace)(**{**_fields(namespace), "tokens": {**namespace.tokens, token_id: kept}})

        await tenants.change("vault", narrow)
        await tenants.standing.door.tenancy.read()
        body = SOURCE | {"namespace": "vault"}
        assert (await ask("manage", "POST", "/github/token", {"token": TOKEN})).status_code == 403
        assert (await ask("manage", "DELETE", "/github/token")).status_code == 403
        assert (await ask("manage", "POST", "/generic", body)).status_code == 403
        within = body | {"entity_key": "kitchen/oven"}
        assert (await ask("manage", "POST", "/generic", within)).status_code == 200
        added = await ask("main", "POST", "/generic", body)
        path = f"/generic/{added.json()['source_id']}"
        assert (await ask("manage", "DELETE", path)).status_code == 403

    async def test_a_deleted_namespace_takes_its_connectors_with_it(self, ask, tenants):
        await ask("main", "POST", "/github/token", {"token": TOKEN})
        door = tenants.standing.door
        await door.connectors.end("vault")
        assert await the_record(tenants.standing, "vault") == {}
        assert door.connectors.actors.heard == ["vault", "vault"]
        await door.connectors.end("acme")
        assert door.connectors.actors.heard == ["vault", "vault"]

    async def test_deleting_a_namespace_ends_its_connectors(self, ask, tenants):
        await ask("main", "POST", "/github/token", {"token": TOKEN})
        door = tenants.standing.door
        transport = httpx.ASGITransport(build_app(door.settings, door))
        async with httpx.AsyncClient(transport=transport, base_url="http://flux") as http:
            answer = await http.delete("/api/namespaces/vault", headers=tenants.headers("admin"))
        assert answer.status_code == 204
        assert await the_record(tenants.standing, "vault") == {}

    async def test_an_actor_that_does_not_end_holds_the_name_back(self, ask, tenants, monkeypatch):
        await ask("main", "POST", "/github/token", {"token": TOKEN})
        connectors = tenants.standing.door.connectors

        async def never(namespace: str) -> None:
            raise TimeoutError

        monkeypatch.setattr(connectors.actors, "told", never)
        with pytest.raises(Unavailable, match="delete it again"):
            await connectors.end("vault")


def _id(registry: Any, name: str) -> str:
    return str(registry.namespace(name).id)


def _fields(struct: Any) -> dict[str, Any]:
    return {name: getattr(struct, name) for name in struct.__struct_fields__}
