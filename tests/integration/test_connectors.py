"""Connectors on the real cluster, against servers on this machine that behave like the APIs they poll."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flux_actors import limits
from flux_actors.connectors.vault import new_key
from flux_cluster.processes import of_run
from tests.conftest import RunningFlux
from tests.unit.connectors.fake_api import FakeApi, Reply, serving_beside
from tests.unit.connectors.fake_github import TOKEN, FakeGitHub, issue, notification, pull, repository

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]
ACTOR = "ray::ConnectorsProcess"
KEEPER = "ray::KeeperProcess"
BEGIN_S = 30.0  # the first connector of all starts two processes
REPO = "octo/hello-world"
ADMIN = "an-admin-token"


class Polled:
    """A Flux whose connectors may call this machine, and what its clients see."""

    def __init__(self, flux: RunningFlux) -> None:
        self.flux = flux
        self.http = httpx.Client(base_url=flux.url, timeout=15)

    def entity(self, entity_id: str) -> Any:
        answer = self.http.get(f"/api/state/entities/{entity_id}")
        return answer.json()["properties"] if answer.status_code == 200 else None

    def history(self, entity_id: str) -> list[Any]:
        return [
            event["payload"]["properties"]
            for event in self.http.get(f"/api/events?entity={entity_id}").json()
        ]

    def detail(self, name: str = "github") -> Any:
        return self.http.get(f"/api/connectors/{name}").json()

    def add(self, api: FakeApi, namespace: str, **fields: Any) -> str:
        source = {
            "name": "w",
            "url": f"{api.url}/{namespace}",
            "poll_interval_secs": 1,
            "entity_key": "weather",
        }
        answer = self.http.post("/api/connectors/generic", json=source | {"namespace": namespace} | fields)
        assert answer.status_code == 200, answer.text
        source_id: str = answer.json()["source_id"]
        return source_id

    def source(self, source_id: str) -> Any:
        sources = self.http.get("/api/connectors/generic").json()["sources"]
        return next(source for source in sources if source["source_id"] == source_id)

    def remove(self, source_id: str) -> None:
        assert self.http.delete(f"/api/connectors/generic/{source_id}").status_code == 200

    def roles(self) -> list[str]:
        """Return the names of the processes that connectors need."""
        names = [_name(process) for process in of_run(self.flux.run.run_id)]
        return sorted(name for name in names if name.startswith((ACTOR, KEEPER)))


def _name(process: psutil.Process) -> str:
    try:
        title = (process.cmdline() or [process.name()])[0]
        return title.partition(".")[0]  # behind the dot stands a method that it was called by
    except psutil.NoSuchProcess:
        return ""


@pytest.fixture(scope="module")
def hub() -> Iterator[FakeApi]:
    """A GitHub; its account is `hub.answer`."""
    account = FakeGitHub()
    with serving_beside(account) as api:
        account.base = f"{api.url}/api/v3"
        yield api


@pytest.fixture(scope="module")
def key() -> str:
    return new_key()


@pytest.fixture(scope="module")
def polled(make_module_flux, hub, key) -> Iterator[Polled]:
    environment = {
        "FLUX_CONNECTORS_ALLOW_PRIVATE": "true",
        "FLUX_ENCRYPTION_KEY": key,
        "FLUX_GITHUB_URL": f"{hub.url}/api/v3",
    }
    flux = make_module_flux([], environment)
    flux.start()
    polled = Polled(flux)
    yield polled
    polled.http.close()


@pytest.fixture
def weather() -> Iterator[FakeApi]:
    with serving_beside(lambda asked: Reply.of({"celsius": 21})) as api:
        yield api


def test_no_process_waits_for_connectors_that_nobody_configured(polled):
    """It stands first: a Ray actor is some 50 MB, which an idle Flux must not hold."""
    assert polled.roles() == []


def test_a_source_is_polled_at_once_and_only_what_changed_is_written(polled, weather, namespace, eventually):
    source_id = polled.add(weather, namespace)
    eventually(lambda: polled.entity(f"{namespace}/weather") == {"celsius": 21}, BEGIN_S, "the entity")
    asked = len(weather.asked)
    eventually(lambda: len(weather.asked) >= asked + 2, 10, "more polls")
    assert polled.history(f"{namespace}/weather") == [{"celsius": 21}]
    weather.answer = lambda _: Reply.of({"celsius": 22})
    eventually(lambda: polled.entity(f"{namespace}/weather") == {"celsius": 22}, 10, "the change")
    assert polled.history(f"{namespace}/weather") == [{"celsius": 22}, {"celsius": 21}]
    told = polled.source(source_id)
    assert (told["status"], told["last_error"]) == ("configured", None)
    assert told["last_poll"] > "2020"
    polled.remove(source_id)
    eventually(lambda: polled.roles() == [KEEPER], 15, "the actor of no connectors to end")
    asked = len(weather.asked)
    _let_a_poll_pass(polled, eventually)
    assert len(weather.asked) == asked
    assert polled.entity(f"{namespace}/weather") == {"celsius": 22}


def _let_a_poll_pass(polled: Polled, eventually: Any) -> None:
    """Return after another source, configured later, was polled twice at the same interval."""
    with serving_beside(lambda asked: Reply.of({})) as other:
        source_id = polled.add(other, "elsewhere")
        eventually(lambda: len(other.asked) >= 3, BEGIN_S, "polls of another source")
        polled.remove(source_id)


def test_a_dead_and_a_slow_api_hold_up_nobody(polled, weather, namespace, eventually):
    with serving_beside(lambda asked: Reply(pause_s=60)) as slow, serving_beside(lambda _: Reply()) as gone:
        ids = [polled.add(slow, f"{namespace}s"), polled.add(weather, namespace)]
    ids.append(polled.add(gone, f"{namespace}g"))
    eventually(lambda: polled.entity(f"{namespace}/weather"), BEGIN_S, "the living API's entity")
    eventually(lambda: polled.source(ids[2])["status"] == "error", BEGIN_S, "the dead API to be told")
    assert "cannot be reached" in polled.source(ids[2])["last_error"]
    asked = len(weather.asked)
    eventually(lambda: len(weather.asked) >= asked + 2, 10, "polls of the living API")
    for source_id in ids:
        polled.remove(source_id)


@pytest.mark.long
def test_github_from_its_token_to_its_end(polled, hub, key, eventually):
    account = hub.answer
    account.repositories = [repository(REPO)]
    account.issues = [issue(REPO, 1), pull(REPO, 2)]
    account.notifications = [notification("77", REPO)]
    answer = polled.http.post("/api/connectors/github/token", json={"token": TOKEN})
    assert answer.json() == {"success": True}

    eventually(lambda: polled.entity("default/github/rate_limit"), BEGIN_S, "GitHub's entities")
    listed = polled.http.get("/api/state/entities?prefix=default/github/").json()
    assert [entity["id"] for entity in listed] == [
        f"default/github/issues/{REPO}/1",
        "default/github/notifications/77",
        f"default/github/pulls/{REPO}/2",
        "default/github/rate_limit",
        f"default/github/repositories/{REPO}",
    ]
    told = polled.detail()
    assert (told["status"], told["enabled"], told["poll_interval_seconds"]) == ("configured", True, 60)
    assert told["last_poll"] is not None

    _kill(polled, hub, eventually)
    account.issues = [issue(REPO, 1, "2026-02-02T00:00:00Z", state="closed")]
    fresh = _change_key(polled, key, eventually)
    eventually(
        lambda: polled.entity(f"default/github/issues/{REPO}/1")["state"] == "closed",
        90,
        "the next poll's change",
    )

    # Nothing of it is in a log, on a command line, or in an environment.
    secrets = [TOKEN, key, fresh]
    assert _holding(polled.flux, secrets) == []
    assert _holding(polled.flux, [REPO])  # what is no secret is found

    assert polled.http.delete("/api/connectors/github/token").json() == {"success": True}
    eventually(lambda: polled.roles() == [KEEPER], 15, "the actor to end")
    assert polled.detail()["status"] == "not_configured"
    assert polled.entity(f"default/github/issues/{REPO}/1")["state"] == "closed"


def _kill(polled, hub, eventually):
    """Kill the actor, which comes back, and then the keeper, whose successor finds the actor."""
    victim = polled.flux.pid_of(ACTOR)
    asked = len(hub.asked)
    os.kill(victim, signal.SIGKILL)
    eventually(lambda: polled.flux.pid_of(ACTOR) != victim, 30, "another actor")
    eventually(lambda: polled.detail()["last_poll"] is not None, 10, "its status")
    assert polled.detail()["status"] == "configured"
    assert len(polled.history(f"default/github/issues/{REPO}/1")) == 1
    assert len(hub.asked) == asked  # the time until the next poll was remembered

    # The keeper killed, the actor lives on, and another keeper finds it.
    survivor, keeper = polled.flux.pid_of(ACTOR), polled.flux.pid_of(KEEPER)
    os.kill(keeper, signal.SIGKILL)
    eventually(lambda: polled.flux.pid_of(KEEPER) != keeper, 30, "another keeper")
    assert polled.flux.pid_of(ACTOR) == survivor


def _change_key(polled, key, eventually):
    """Change the key: everything is under the new one, and the old one can go. Return the new one."""
    fresh = new_key()
    for keys in (f"{fresh},{key}", fresh):
        polled.flux.stop()
        polled.flux.environment["FLUX_ENCRYPTION_KEY"] = keys
        polled.flux.start()
        eventually(
            lambda: polled.roles() == [ACTOR, KEEPER], BEGIN_S, "the connectors to begin by themselves"
        )
        eventually(lambda: polled.detail()["status"] == "configured", 10, "its status")
        assert polled.detail()["last_error"] is None
    return fresh


def _holding(flux: RunningFlux, secrets: list[str]) -> list[str]:
    """Return where one of the secrets can be read: logs, command lines, environments, the data folder."""
    found = []
    folders = [flux.data, Path(flux.run.ray_folder)]
    for path in [path for folder in folders for path in folder.rglob("*") if path.is_file()]:
        with suppress(OSError):
            data = path.read_bytes()
            found += [str(path) for secret in secrets if secret.encode() in data]
    for process in of_run(flux.run.run_id):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid == flux.process.pid:  # type: ignore[union-attr]  # it runs
                continue  # the supervisor was given the key in its environment
            shown = json.dumps([process.cmdline(), process.environ()])
            found += [f"{process.pid} {process.name()}" for secret in secrets if secret in shown]
    assert flux.output.stat().st_size
    found += [str(flux.output) for secret in secrets if secret in flux.output.read_text()]
    return found


@pytest.mark.long
def test_everything_killed_at_once_polls_again_after_the_next_start(polled, weather, namespace, eventually):
    source_id = polled.add(weather, namespace, auth_type="bearer", token="s3cret-bearer")
    eventually(lambda: polled.entity(f"{namespace}/weather"), BEGIN_S, "the entity")
    assert {asked.headers["authorization"] for asked in weather.asked} == {"Bearer s3cret-bearer"}
    polled.flux.kill_everything()
    weather.answer = lambda _: Reply.of({"celsius": 23})
    polled.flux.start()
    eventually(lambda: polled.entity(f"{namespace}/weather") == {"celsius": 23}, BEGIN_S, "polls to go on")
    assert polled.history(f"{namespace}/weather") == [{"celsius": 23}, {"celsius": 21}]
    polled.remove(source_id)


def test_a_keeper_that_is_gone_for_good_is_started_again(polled, weather, namespace, eventually):
    """As when a door was killed between storing the first configuration and starting the keeper."""
    source_id = polled.add(weather, namespace)
    eventually(lambda: polled.entity(f"{namespace}/weather"), BEGIN_S, "the entity")
    victims = [polled.flux.pid_of(role) for role in (KEEPER, ACTOR)]
    polled.flux.as_driver(
        "for name in ('flux-keeper', 'flux-connectors-default'):"
        " ray.kill(ray.get_actor(name, namespace='flux'), no_restart=True)"
    )
    eventually(lambda: not any(map(psutil.pid_exists, victims)), 15, "keeper and actor to end")
    weather.answer = lambda _: Reply.of({"celsius": 23})
    found = lambda: polled.entity(f"{namespace}/weather") == {"celsius": 23}  # noqa: E731
    eventually(found, limits.keeper_missed_s + BEGIN_S, "polls to go on")
    polled.remove(source_id)


@pytest.mark.long
def test_the_actor_killed_again_and_again_writes_nothing_twice(polled, weather, namespace, eventually):
    numbers = iter(range(10_000))
    weather.answer = lambda _: Reply.of({"n": next(numbers) // 3})
    source_id = polled.add(weather, namespace)
    for _ in range(3):
        asked = len(weather.asked)
        eventually(lambda asked=asked: len(weather.asked) >= asked + 4, 30, "polls")
        os.kill(polled.flux.pid_of(ACTOR), signal.SIGKILL)
    asked = len(weather.asked)
    eventually(lambda: len(weather.asked) >= asked + 2, 30, "polls")
    written = [properties["n"] for properties in reversed(polled.history(f"{namespace}/weather"))]
    assert all(before < after for before, after in pairwise(written))
    polled.remove(source_id)


def test_tenants_have_connectors_of_their_own(make_flux, weather, eventually):
    flux = make_flux(
        [],
        {
            "FLUX_AUTH_ENABLED": "true",
            "FLUX_ADMIN_TOKEN": ADMIN,
            "FLUX_CONNECTORS_ALLOW_PRIVATE": "true",
            "FLUX_ENCRYPTION_KEY": new_key(),
        },
    )
    flux.start()
    admin = {"Authorization": f"Bearer {ADMIN}"}
    with httpx.Client(base_url=flux.url, timeout=30) as http:
        tokens = {}
        for name in ("acme", "vault"):
            made = http.post("/api/namespaces", json={"name": name}, headers=admin).json()
            tokens[name] = {"Authorization": f"Bearer {made['token']}"}
        source = {"name": "w", "url": weather.url, "poll_interval_secs": 1, "entity_key": "weather"}
        path = "/api/connectors/generic"
        for name, headers in tokens.items():
            answer = http.post(path, json=source | {"namespace": name}, headers=headers)
            assert answer.status_code == 200, answer.text
        assert (
            http.post(path, json=source | {"namespace": "acme"}, headers=tokens["vault"]).status_code == 403
        )
        assert http.post(path, json=source | {"namespace": "acme"}).status_code == 401
        for name in tokens:
            entity = f"/api/state/entities/{name}/weather"
            eventually(lambda entity=entity: http.get(entity).status_code == 200, BEGIN_S, entity)
        assert Polled(flux).roles() == [ACTOR, ACTOR, KEEPER]
        assert len(http.get(path, headers=tokens["acme"]).json()["sources"]) == 1
        assert http.get(path).json() == {"sources": []}

        assert http.delete("/api/namespaces/acme", headers=admin).status_code == 204
        eventually(lambda: Polled(flux).roles() == [ACTOR, KEEPER], 15, "the actor to end")
        assert http.get("/api/state/entities/acme/weather").status_code == 404
        asked = len(weather.asked)
        eventually(lambda: len(weather.asked) >= asked + 2, 10, "polls of the other namespace")
        assert http.get("/api/state/entities/acme/weather").status_code == 404
