"""Tenants on the real cluster, behind two doors: what one door does is in force at the other in a second."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from typing import Any

import httpx
import pytest
from websockets.sync.client import connect

from tests.busy import busy
from tests.conftest import wait_for
from tests.integration.api.support import event
from tests.integration.conftest import ADMIN_TOKEN
from tests.integration.sessions import ROOT, assert_true
from tests.integration.test_replicas import each_door

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]
ADMIN = {"Authorization": f"Bearer {ADMIN_TOKEN}"}
IN_FORCE_S = 1.0


@pytest.fixture(scope="module")
def flux(guarded_twins) -> Any:
    """The Flux of this module, under the name that fixtures of all modules go by."""
    return guarded_twins


@pytest.fixture(scope="module")
def doors(flux) -> Iterator[list[httpx.Client]]:
    """A client of each door."""
    with each_door(flux.url, ADMIN) as doors:
        yield doors


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def register(door, name, **fields):
    answer = door.post("/api/namespaces", json={"name": name, **fields}, headers=ADMIN)
    assert answer.status_code == 200, answer.text
    return answer.json()["token"]


def write(door, token, entity_id, **properties):
    body = event(entity_id, properties or {"v": 1})
    return door.post("/api/events?wait=applied", json=body, headers=bearer(token))


def seconds_until(condition) -> float:
    begun = time.monotonic()
    wait_for(condition, 10, "what was done at one door to be in force at the other")
    return time.monotonic() - begun


def test_a_token_is_good_at_every_door_as_soon_as_it_is_told(doors, namespace):
    for number in range(10):
        name = f"{namespace}-{number}"
        token = register(doors[number % 2], name)
        assert write(doors[1 - number % 2], token, f"{name}/x").status_code == 200


def test_a_revoked_or_rotated_token_is_good_nowhere_within_a_second(doors, namespace):
    one, other = doors
    main = register(one, namespace)
    path = f"/api/namespaces/{namespace}/tokens"
    lent = one.post(path, json={"scopes": ["write"]}, headers=bearer(main)).json()
    bodies = (bearer(lent["token"]), bearer(main))
    for headers in bodies:  # twice, so that both doors know them by heart
        for door in doors * 2:
            assert door.post(
                "/api/events", json=event(f"{namespace}/x", {"v": 1}), headers=headers
            ).is_success
    assert one.delete(f"{path}/{lent['id']}", headers=bearer(main)).status_code == 204
    assert write(one, lent["token"], f"{namespace}/x").status_code == 401

    def refused() -> bool:
        answer = other.post("/api/events", json=event(f"{namespace}/x", {"v": 1}), headers=bodies[0])
        return answer.status_code == 401

    assert seconds_until(refused) < IN_FORCE_S * busy()
    fresh = other.post(path, json={"rotate": True}, headers=bearer(main)).json()["token"]
    assert seconds_until(lambda: write(one, main, f"{namespace}/x").status_code == 401) < IN_FORCE_S * busy()
    assert write(one, fresh, f"{namespace}/x").status_code == 200


def test_a_private_namespace_is_there_for_its_tokens_alone(flux, doors, namespace):
    one, other = doors
    hidden, shown = f"{namespace}h", f"{namespace}s"
    token, public = register(one, hidden, visibility="private"), register(one, shown)
    with ExitStack() as stack:
        sockets = [stack.enter_context(connect(flux.ws_url, proxy=None)) for _ in range(6)]
        headed = [
            stack.enter_context(connect(flux.ws_url, additional_headers=bearer(token), proxy=None))
            for _ in range(6)
        ]
        assert write(other, token, f"{hidden}/x", v="hidden").status_code == 200
        assert write(one, public, f"{shown}/x", v="shown").status_code == 200
        assert write(one, public, f"{shown}/end", v="end").status_code == 200
        assert [values_until_end(socket, namespace) for socket in sockets] == [{"shown", "end"}] * 6
        assert [values_until_end(socket, namespace) for socket in headed] == [{"hidden", "shown", "end"}] * 6
    for door in doors:
        for path, nothing in (
            (f"/api/state/entities/{hidden}/x", 404),
            (f"/api/namespaces/{hidden}", 404),
            (f"/api/state/entities?namespace={hidden}", []),
            (f"/api/events?entity={hidden}/x", []),
            (f"/api/state/entities?prefix={hidden}&count=true", {"count": 0}),
        ):
            stranger = door.get(path, headers=bearer(public))
            assert nothing == (stranger.status_code if nothing == 404 else stranger.json())
            assert door.get(path, headers=bearer(token)).json() != nothing
    wait_for(lambda: shown in directory(one), 5, "the directory")
    assert hidden not in directory(one)


def directory(door) -> str:
    return door.get("/api/state/entities/flux-core/directory").text


def values_until_end(socket, namespace) -> set[Any]:
    values: set[Any] = set()
    while "end" not in values:
        message = json.loads(socket.recv(timeout=10))
        if message["type"] == "state_update" and message["entity_id"].startswith(namespace):
            values.add(message["value"])
    return values


def test_a_deleted_namespace_is_gone_at_every_door_and_its_name_is_free(doors, namespace):
    one, other = doors
    token = register(one, namespace)
    bodies = [event(f"{namespace}/{number}", {"v": 1}) for number in range(500)]
    done = other.post("/api/events/batch", json=bodies, headers=bearer(token)).json()
    assert done["successful"] == 500
    assert one.delete(f"/api/namespaces/{namespace}", headers=ADMIN).status_code == 204
    for door in doors:
        assert write(door, token, f"{namespace}/x").status_code == 401
        assert door.get(f"/api/state/entities?namespace={namespace}").json() == []
    heir = register(other, namespace)
    assert write(one, heir, f"{namespace}/1").status_code == 200
    facts = one.get(f"/api/namespaces/{namespace}").json()
    assert facts["entityCount"] == 1
    assert len(one.get(f"/api/events?entity={namespace}/1").json()) == 1


def test_tenants_outlive_a_kill_of_everything_and_no_token_is_on_disk(flux, doors, namespace):
    token = register(doors[0], namespace, visibility="private")
    assert write(doors[0], token, f"{namespace}/x").status_code == 200
    flux.kill_everything()
    flux.start()
    with httpx.Client(base_url=flux.url, timeout=10) as client:
        path = f"/api/state/entities/{namespace}/x"
        assert client.get(path).status_code == 404
        assert client.get(path, headers=bearer(token)).json()["properties"] == {"v": 1}
        assert write(client, token, f"{namespace}/x").status_code == 200
    secret = token.split("_", 2)[2].encode()
    found = []
    for path in flux.data.rglob("*"):
        with suppress(FileNotFoundError):  # NATS goes on
            if path.is_file() and secret in path.read_bytes():
                found.append(path)
    assert found == []


def test_the_sessions_of_the_document_tell_the_truth(flux):
    assert assert_true(ROOT / "docs" / "tenants.md", flux, FLUX_ADMIN_TOKEN=ADMIN_TOKEN) >= 10
