"""The actors of namespaces as Ray actors: started, asked, ended, and what they are given."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError, RayTaskError

from flux_actors.connectors import ray_connectors
from flux_actors.connectors.ray_connectors import ConnectorsPlan, RayConnectors, any_configured, keeper
from flux_actors.connectors.records import Configured, ConnectorStore
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.settings import Settings

ACCESS = NatsAccess("nats://x")
PLAN = ConnectorsPlan((bytes(32), b"\x01" * 32), False, "https://x", 1, False)


class FakeRay:
    """Ray with one kind of actor: what was done to it, and how it answers."""

    def __init__(self) -> None:
        self.done: list[Any] = []
        self.living: set[str] = set()
        self.answers: dict[str, Any] = {}

    def options(self, **options: Any) -> Any:
        def remote(*arguments: Any) -> Any:
            self.done.append(("make", options, arguments))
            self.living.add(options["name"])
            return self.actor(options["name"])

        return SimpleNamespace(remote=remote)

    def get_actor(self, name: str, namespace: str) -> Any:
        if name not in self.living:
            raise ValueError("no such actor")
        return self.actor(name)

    def kill(self, actor: Any, *, no_restart: bool) -> None:
        self.done.append(("kill", actor.name))
        self.living.discard(actor.name)

    def actor(self, name: str) -> Any:
        fake = self

        class Actor:
            def __init__(self) -> None:
                self.name = name

            def __getattr__(self, method: str) -> Any:
                async def call(*arguments: Any) -> Any:
                    fake.done.append((method, *arguments))
                    answer = fake.answers.get(method)
                    if isinstance(answer, BaseException):
                        raise answer
                    return answer

                return SimpleNamespace(remote=lambda *arguments: asyncio.ensure_future(call(*arguments)))

        return Actor()


@pytest.fixture
def ray(monkeypatch) -> FakeRay:
    ray = FakeRay()
    monkeypatch.setattr(ray_connectors.ray, "get_actor", ray.get_actor)
    monkeypatch.setattr(ray_connectors.ray, "kill", ray.kill)
    monkeypatch.setattr(ray_connectors, "RemoteConnectors", ray)
    monkeypatch.setattr(ray_connectors, "RemoteKeeper", ray)
    return ray


@pytest.fixture
def host(ray) -> RayConnectors:
    return RayConnectors(ACCESS, PLAN.of)


async def test_an_actor_is_named_detached_and_costs_no_processor(ray, host):
    await host.start("home")
    _, options, arguments = ray.done[0]
    assert options == {
        "name": "flux-connectors-home",
        "namespace": "flux",
        "lifetime": "detached",
        "num_cpus": 0,
        "scheduling_strategy": "SPREAD",
        "max_restarts": 0,
        "get_if_exists": True,
    }
    assert arguments == ()
    assert ray.done[1] == ("open", ACCESS, PLAN.of("home"))


def test_it_is_given_the_keys_of_its_namespace_alone():
    plan = PLAN.of("home")
    assert len(plan.keys) == 2
    assert not set(plan.keys) & ({*PLAN.keys} | {*PLAN.of("other").keys})
    assert "keys" not in repr(plan)
    assert "keys" not in repr(PLAN)


AWAY = RayTaskError("open", "a traceback of many lines", Unavailable("the log is away"))
FAULTS = [
    (RayActorError(), "RayActorError"),
    (TimeoutError(), "TimeoutError"),
    (AWAY, "the log is away"),
    (AWAY.as_instanceof_cause(), "the log is away"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
async def test_one_that_does_not_open_is_ended_and_told(ray, host, fault, reason):
    ray.answers["open"] = fault
    with pytest.raises(Unavailable, match=f"did not open .{reason}"):
        await host.start("home")
    assert ray.done[-1] == ("kill", "flux-connectors-home")


@pytest.mark.parametrize(
    ("answer", "lives"),
    [
        (7, True),
        (RayActorError(), False),
        (TimeoutError(), None),
        (RayTaskError("pid", "traceback", ValueError()), None),
        (Unavailable("shut out"), None),
    ],
)
async def test_it_lives_as_long_as_it_answers(ray, host, answer, lives):
    await host.start("home")
    ray.answers["pid"] = answer
    assert await host.lives("home") is lives


async def test_one_that_ray_does_not_know_is_dead(host):
    assert await host.lives("nowhere") is False


async def test_ending_drains_before_it_kills_whatever_is_answered(ray, host):
    await host.start("home")
    ray.answers["drain"] = TimeoutError()
    await host.end("home")
    assert ray.done[-2:] == [("drain",), ("kill", "flux-connectors-home")]
    await host.end("home")
    await host.kill("home")
    await host.refresh("home")


async def test_refreshing_one_that_does_not_hear_is_no_fault(ray, host):
    await host.start("home")
    ray.answers["refresh"] = RayActorError()
    await host.refresh("home")


def test_there_is_one_keeper_which_ray_starts_again(ray):
    keeper(ACCESS, PLAN)
    _, options, arguments = ray.done[0]
    assert (options["name"], options["lifetime"], options["max_restarts"]) == ("flux-keeper", "detached", -1)
    assert options["get_if_exists"]
    assert arguments == (ACCESS, PLAN)


def test_the_plan_is_what_the_settings_say():
    settings = Settings(
        connectors_allow_private=True, github_url="https://g", log_replicas=3, auth_enabled=True
    )
    assert ConnectorsPlan.of_settings(settings) == ConnectorsPlan((), True, "https://g", 3, True)


@pytest.mark.parametrize(
    ("there", "expected"), [({}, False), ({"a": {}}, False), ({"a": {"x": 1}, "b": {}}, True)]
)
async def test_whether_there_is_anything_to_keep(monkeypatch, there, expected):
    values, closed = MemoryKeyValue(), []

    async def connect(access: Any, name: str) -> Any:
        async def close() -> None:
            closed.append(access)

        return SimpleNamespace(close=close)

    async def bucket(client: Any, name: str, replicas: int) -> MemoryKeyValue:
        return values

    monkeypatch.setattr(ray_connectors, "connect", connect)
    monkeypatch.setattr(ray_connectors, "JetStreamKeyValue", SimpleNamespace(open=bucket))
    store = ConnectorStore(values)
    for namespace, names in there.items():
        await store.change(namespace, lambda c, names=names: c.update({n: Configured("r") for n in names}))
    assert await any_configured(ACCESS, 1) is expected
    assert closed == [ACCESS]
