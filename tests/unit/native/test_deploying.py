from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import ray
from ray.exceptions import ActorDiedError, RayTaskError

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.code import digest_of, load
from flux_actors.behaviour.deployer import DeployRequest
from flux_actors.domain.acting.catalogue import Catalogue, Dedicated, Deployed, Version
from flux_actors.errors import Refused, Unavailable
from flux_actors.native import deploying

FAN_1 = Deployed("Fan", Version(1, "ab" * 32, ["home/*"], ["on_ask"]), numbered=1)


class Fan(Behaviour):
    match = ("home/fan", "home/*/fan")
    placement = Dedicated(num_cpus=2)

    def reduce(self, state: Any, event: Any) -> Any:
        return state

    async def on_ask(self, entity: Any, message: Any) -> Any:
        return message


class Cluster:
    """The router behind Ray: what it was asked, and what it answers."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.joined = 0
        self.tried: list[tuple[Any, ...]] = []
        self.asked: list[tuple[Any, ...]] = []
        self.answer: Any = Catalogue(1, [FAN_1])
        patch.delenv("FLUX_ADMIN_TOKEN", raising=False)
        patch.setattr(deploying, "join", self._join)
        patch.setattr(deploying, "try_out", self._try)
        patch.setattr("flux_actors.router.handle.router_handle", lambda: self)
        patch.setattr(ray, "get", self._get)

    def __getattr__(self, method: str) -> Any:
        return SimpleNamespace(remote=lambda *arguments: self.asked.append((method, *arguments)))

    def _join(self) -> None:
        self.joined += 1

    def _try(self, name: str, code: bytes, environment: Any, *, reduces: bool) -> None:
        assert self.joined
        self.tried.append((name, load(code).__name__, environment, reduces))

    def _get(self, reference: None, timeout: float) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    return Cluster(monkeypatch)


def test_class_is_tried_and_then_deployed(cluster: Cluster) -> None:
    cluster.answer = FAN_1.stable
    assert deploying.deploy(Fan) == FAN_1.stable
    assert cluster.tried == [("Fan", "Fan", None, True)]
    ((method, request, token),) = cluster.asked
    assert (method, token) == ("deploy", None)
    assert isinstance(request, DeployRequest)
    assert (request.name, request.environment, request.canary) == ("Fan", b"", None)
    version = request.version
    assert (version.number, version.digest, version.environment) == (0, digest_of(request.code), "")
    assert (version.match, version.handles) == (
        ["home/fan", "home/*/fan"],
        ["reduce", "on_ask", "on_tell"],
    )
    assert (version.awaits, version.dedicated) == (["on_ask", "on_tell"], Dedicated(num_cpus=2))


def test_what_is_wished_for_is_passed_on(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_ADMIN_TOKEN", "from the environment")
    environment = {"env_vars": {"A": "b"}}
    deploying.deploy(Fan, name="Ventilator", canary="home/h", runtime_env=environment)
    assert cluster.tried == [("Ventilator", "Fan", environment, True)]
    ((_, request, token),) = cluster.asked
    assert (request.name, request.canary, token) == ("Ventilator", "home/h", "from the environment")
    assert json.loads(request.environment) == environment
    assert request.version.environment == digest_of(request.environment)
    deploying.deploy(Fan, admin_token="given")
    assert cluster.asked[1][2] == "given"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "no name"}, "such as Thermostat"),
        ({"canary": ""}, "beginning of the ids"),
        ({"runtime_env": {"pipp": []}}, "no field"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    cluster: Cluster, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(Refused, match=words):
        deploying.deploy(Fan, **options)
    assert (cluster.joined, cluster.asked) == (0, [])


def test_everything_else_is_asked_of_the_router(cluster: Cluster) -> None:
    assert deploying.behaviours() == [FAN_1]
    assert deploying.promote("Fan") == FAN_1
    assert deploying.rollback("Fan", admin_token="t") == FAN_1
    assert deploying.resume("Fan") == FAN_1
    deploying.remove("Fan")
    assert deploying.rollback("Canary") == Deployed("Canary")
    assert cluster.asked == [
        ("behaviours", None),
        ("promote", "Fan", None),
        ("rollback", "Fan", "t"),
        ("resume", "Fan", None),
        ("remove", "Fan", None),
        ("rollback", "Canary", None),
    ]


def test_what_the_router_raises_is_raised_as_it_is(cluster: Cluster) -> None:
    cluster.answer = RayTaskError("remove", "a traceback", Refused("there is no behaviour", 404))
    with pytest.raises(Refused, match="there is no behaviour") as caught:
        deploying.remove("Fan")
    assert (type(caught.value), caught.value.status) == (Refused, 404)
    cluster.answer = RayTaskError("remove", "a traceback", KeyError("bug"))
    with pytest.raises(RayTaskError):
        deploying.remove("Fan")


def test_router_that_does_not_answer_is_unavailable(cluster: Cluster) -> None:
    cluster.answer = ActorDiedError()
    with pytest.raises(Unavailable, match="flux behaviours list"):
        deploying.remove("Fan")


def test_request_travels() -> None:
    request = DeployRequest("Fan", Version(0, "ab" * 32, ["home/*"], ["on_ask"]), b"code")
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(request), type=DeployRequest) == request
