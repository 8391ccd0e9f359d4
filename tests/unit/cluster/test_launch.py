"""The launcher's work: on whose cluster it acts, what it waits for, and the sentence it answers with."""

from __future__ import annotations

import io
import json
import pickle
from concurrent.futures import Future
from types import SimpleNamespace

import pytest
from ray.exceptions import ActorDiedError, GetTimeoutError, RayActorError, RayTaskError

from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.places.memory import MemoryPlace
from flux_actors.router import named_actors
from flux_actors.settings import Settings
from flux_actors.snapshot.placed import PlacedSnapshotStore
from flux_cluster import launch
from flux_cluster.orders import Site, Start, Stop, Sweep

OURS = Site("127.0.0.1:1", cluster_is_ours=True, owner="me")
THEIRS = Site("10.0.0.1:1", cluster_is_ours=False, owner="me")


class FakeRouter:
    """A router whose calls are answered from a table, and remembered."""

    def __init__(self, cluster, **answers):
        self._cluster = cluster
        self._answers = answers

    def __getattr__(self, method):
        def remote():
            self._cluster.done.append(method)
            found = self._answers.get(method)
            return next(found) if hasattr(found, "__next__") else found

        return SimpleNamespace(remote=remote)


class FakeCluster:
    """Ray and Serve as the launcher sees them: what was done to them, in order."""

    def __init__(self):
        self.done = []
        self.router = FakeRouter(self, owner="me")
        self.actors = [("flux-shard-0-e1", "flux"), ("flux-router", "flux"), ("theirs", "serve")]
        self.applications = {}
        self.drain_fault = None

    def handle(self):
        if self.router is None:
            raise Unavailable("no Flux router runs")
        return self.router

    def delete(self, name):
        self.done.append(f"delete {name}")

    def actor(self, name, namespace):
        if (name, namespace) not in self.actors:
            raise ValueError("no such actor")

        def drain():
            self.done.append(f"drain {name}")
            if self.drain_fault is not None:
                raise self.drain_fault

        return SimpleNamespace(name=name, drain=SimpleNamespace(remote=drain))

    def named(self, *, all_namespaces):
        return [{"name": name, "namespace": namespace} for name, namespace in self.actors]


@pytest.fixture
def cluster(monkeypatch):
    cluster = FakeCluster()
    ray = SimpleNamespace(
        get=lambda found, timeout: found,
        get_actor=cluster.actor,
        kill=lambda actor, no_restart: cluster.done.append(f"kill {actor.name}"),
        util=SimpleNamespace(list_named_actors=cluster.named),
        init=lambda **_: None,
    )
    serve = SimpleNamespace(
        delete=cluster.delete,
        status=lambda: SimpleNamespace(applications=cluster.applications),
        shutdown=lambda: cluster.done.append("shutdown"),
    )
    monkeypatch.setattr(launch, "ray", ray)
    monkeypatch.setattr(named_actors, "ray", ray)
    monkeypatch.setattr(launch, "serve", serve)
    monkeypatch.setattr(launch, "router_handle", cluster.handle)
    monkeypatch.setattr(launch, "_POLL_S", 0.0)
    return cluster


@pytest.fixture
def told(monkeypatch):
    """The lines that were told to the supervisor."""
    lines = []
    monkeypatch.setattr(launch, "_tell", lines.append)
    return lines


def status(*phases, pending=0, error="the log ends before the snapshot"):
    rows = [
        {"phase": phase, "pending": pending, "error": error if phase == "stopped" else None}
        for phase in phases
    ]
    return {"partitions": 2, "shards": {"shard": rows}}


class TestStopping:
    def test_closes_the_doors_before_the_shards_and_ends_the_router_before_them(self, cluster):
        launch.stop(Stop(OURS))
        assert cluster.done == [
            *("owner", "delete flux", "drain"),
            *("kill flux-router", "kill flux-shard-0-e1"),
        ]

    def test_has_the_connectors_keep_what_they_know_and_ends_what_starts_others_first(self, cluster):
        cluster.actors += [("flux-connectors-default", "flux"), ("flux-keeper", "flux")]
        launch.stop(Stop(OURS))
        assert cluster.done == [
            *("owner", "delete flux", "drain flux-keeper", "drain"),
            *("kill flux-keeper", "kill flux-router"),
            *("kill flux-connectors-default", "kill flux-shard-0-e1"),
        ]

    @pytest.mark.parametrize("fault", [GetTimeoutError("too late"), RayActorError()])
    def test_goes_on_when_the_connectors_do_not_answer(self, cluster, fault):
        cluster.actors.append(("flux-keeper", "flux"))
        cluster.drain_fault = fault
        launch.stop(Stop(OURS))
        assert "kill flux-shard-0-e1" in cluster.done

    def test_leaves_the_flux_of_another_alone(self, cluster):
        cluster.router = FakeRouter(cluster, owner="somebody else")
        for act, orders in ((launch.stop, Stop(THEIRS)), (launch.sweep, Sweep(THEIRS))):
            with pytest.raises(Refused, match="already runs the Flux of somebody else"):
                act(orders)
        assert cluster.done == ["owner", "owner"]

    def test_takes_serve_off_a_cluster_of_others_where_nobody_else_uses_it(self, cluster):
        launch.stop(Stop(THEIRS))
        assert "shutdown" in cluster.done

    def test_leaves_serve_to_the_applications_of_others(self, cluster):
        cluster.applications = {"theirs": object()}
        launch.stop(Stop(THEIRS))
        assert "shutdown" not in cluster.done
        assert "kill flux-router" in cluster.done

    def test_goes_on_where_serve_is_gone(self, cluster, monkeypatch):
        def gone(_):
            raise launch.RayServeException("no controller")

        monkeypatch.setattr(launch.serve, "delete", gone)
        launch.stop(Stop(OURS))
        assert "kill flux-shard-0-e1" in cluster.done


class TestSweeping:
    def test_ends_what_a_killed_supervisor_left_without_waiting_for_snapshots(self, cluster):
        launch.sweep(Sweep(THEIRS))
        assert "drain" not in cluster.done
        assert cluster.done[-2:] == ["kill flux-router", "kill flux-shard-0-e1"]

    def test_of_a_cluster_without_a_router_is_nothing(self, cluster):
        cluster.router = None
        launch.sweep(Sweep(THEIRS))
        assert cluster.done == []


class TestAwaitingRecovery:
    def test_ends_when_every_partition_runs(self, cluster, told):
        answers = [status("recovering", "running"), status("running"), status("running", "running")]
        launch._await_recovery(FakeRouter(cluster, status=iter(answers)))  # noqa: SLF001 - the phase itself
        assert cluster.done == ["status"] * 3

    def test_tells_how_far_it_is(self, cluster, told, monkeypatch):
        monkeypatch.setattr(launch, "_TELL_S", 0.0)
        answers = [status("recovering", "running", pending=4), status("running", "running")]
        launch._await_recovery(FakeRouter(cluster, status=iter(answers)))  # noqa: SLF001 - the phase itself
        assert told == [{"progress": "recovering: 1 of 2 partitions, 8 blocks left"}]

    def test_ends_at_a_partition_that_contradicts_itself(self, cluster, told):
        router = FakeRouter(cluster, status=iter([status("running", "stopped")]))
        with pytest.raises(Corrupt, match="the log ends before the snapshot"):
            launch._await_recovery(router)  # noqa: SLF001 - the phase itself


class TestStartingConnectors:
    @pytest.fixture
    def started(self, monkeypatch):
        """What the keeper was started with."""
        started = []
        monkeypatch.setattr(launch, "keeper", lambda *arguments: started.append(arguments) or "the keeper")
        return started

    @pytest.fixture
    def awaited(self, monkeypatch, cluster):
        """Who was waited for until it was ready."""
        awaited = []
        monkeypatch.setattr(launch, "_await_ready", awaited.append)
        return awaited

    @pytest.mark.parametrize("there_are_some", [True, False])
    def test_a_keeper_is_started_and_awaited_when_there_is_something_to_keep(
        self, monkeypatch, started, awaited, there_are_some
    ):
        async def any_configured(access, replicas):
            assert (access, replicas) == (NatsAccess("nats://x"), 3)
            return there_are_some

        monkeypatch.setattr(launch, "any_configured", any_configured)
        settings = Settings(_env_file=None, log_replicas=3, connectors_allow_private=True)
        launch._start_connectors(Start(OURS, settings, NatsAccess("nats://x"), 8000))  # noqa: SLF001 - the phase
        assert [plan.allow_private for _, plan in started] == [True] * there_are_some
        assert awaited == ["the keeper"] * there_are_some  # else Ray forgets it when the launcher ends


def test_serves_controller_is_waited_for_no_longer_than_its_start_takes(cluster):
    cluster.actors = []
    failed = Future()
    failed.set_exception(RuntimeError("the port is taken"))
    launch._wait_for_controller(failed)  # noqa: SLF001 - it would wait for ever
    cluster.actors = [("controller", "serve")]
    launch._wait_for_controller(Future())  # noqa: SLF001 - it would wait for ever


class TestSomeDoor:
    @pytest.fixture
    def answers(self, monkeypatch, cluster):
        """What the doors that are asked one after the other answer."""
        answers = []

        def result(timeout_s):
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        url = SimpleNamespace(remote=lambda: SimpleNamespace(result=result))
        monkeypatch.setattr(launch.serve, "get_app_handle", lambda _: SimpleNamespace(url=url), raising=False)
        return answers

    def test_is_another_when_one_dies_before_it_answers(self, answers):
        answers += [RayActorError(), RayActorError(), "http://door"]
        assert launch._some_door() == "http://door"  # noqa: SLF001 - the phase itself

    def test_is_not_asked_for_without_end(self, answers, monkeypatch):
        monkeypatch.setattr(launch, "_ROUTER_S", 0.0)
        answers += [RayActorError(), "http://door"]
        with pytest.raises(RayActorError):
            launch._some_door()  # noqa: SLF001 - the phase itself


REMOTE = RayTaskError("open", "a traceback of many lines", Refused("this log has 4 partitions"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (Refused("change it"), "change it"),
        (REMOTE, "this log has 4 partitions"),
        (REMOTE.as_instanceof_cause(), "this log has 4 partitions"),
        (
            RayTaskError(
                "ready", "ray::ProxyActor.ready() (pid=1)\n  File …\nOSError: no port\n", OSError("no port")
            ),
            "RayTaskError: OSError: no port",
        ),
        (
            ActorDiedError(),
            "ActorDiedError: The actor died unexpectedly before finishing this task.",
        ),
        (
            RayActorError("a1", "The actor died.\n\tclass_name: Door\nIts process was killed."),
            "RayActorError: The actor died.; class_name: Door; Its process was killed.",
        ),
        (GetTimeoutError("long text"), "the router did not come up in time; its log may say why"),
        (ValueError("first\nsecond"), "ValueError: first"),
        (RuntimeError(" \n first\nsecond"), "RuntimeError: first"),
        (ConnectionError(), "ConnectionError: "),
        (RuntimeError("\n"), "RuntimeError: "),
    ],
    ids=[
        "flux",
        "remote",
        "remote-as-cause",
        "remote-fault",
        "dead-actor",
        "dead-actor-and-why",
        "timeout",
        "many-lines",
        "leading-blank-line",
        "no-text",
        "blank-text",
    ],
)
def test_an_error_is_told_in_one_line(error, sentence):
    assert launch._sentence(error) == sentence  # noqa: SLF001 - what the user reads


class TestObeying:
    @pytest.fixture
    def obey(self, monkeypatch, cluster, told):
        def obey(orders):
            stdin = SimpleNamespace(buffer=io.BytesIO(pickle.dumps(orders)))
            monkeypatch.setattr(launch.sys, "stdin", stdin)
            launch.main()

        return obey

    def test_says_that_it_was_done(self, obey, told, cluster):
        obey(Stop(OURS))
        assert told == [{"ok": True, "door": None}]
        assert "drain" in cluster.done

    def test_says_where_a_door_is_after_a_start_on_a_cluster_of_others(self, obey, told, monkeypatch):
        monkeypatch.setattr(launch, "start", lambda orders: f"http://door-of-{orders.site.owner}")
        obey(Start(THEIRS, Settings(_env_file=None), NatsAccess("nats://x"), 8000))
        assert told == [{"ok": True, "door": "http://door-of-me"}]

    def test_says_why_it_was_not_and_fails(self, obey, told, cluster):
        cluster.router = FakeRouter(cluster, owner="somebody else")
        with pytest.raises(SystemExit) as ended:
            obey(Sweep(THEIRS))
        assert ended.value.code == 1
        (line,) = told
        assert line["ok"] is False
        assert "somebody else" in line["error"]

    def test_a_start_on_a_cluster_of_others_sweeps_first(self, obey, told, cluster):
        cluster.router = FakeRouter(cluster, owner="somebody else")
        with pytest.raises(SystemExit):
            obey(Start(THEIRS, Settings(_env_file=None), NatsAccess("nats://x"), 8000))
        assert "already runs the Flux" in told[0]["error"]


def test_a_line_is_whole_when_it_is_told(capsys):
    launch._tell({"progress": "ünï\ncode"})  # noqa: SLF001 - the wire format
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert json.loads(out) == {"progress": "ünï\ncode"}


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"host": "10.0.0.7"}, {"host": "127.0.0.1", "port": 5}),
        ({"host": "10.0.0.7", "serve_port": 5}, {"host": "10.0.0.7", "port": 5}),
        (
            {"tls_cert": "/c", "tls_key": "/k"},
            {"host": "127.0.0.1", "port": 5, "ssl_certfile": "/c", "ssl_keyfile": "/k"},
        ),
    ],
    ids=["by itself", "asked for", "encrypted"],
)
def test_serves_own_proxy_is_as_open_as_it_was_asked_to_be(settings, expected):
    assert launch._proxy_options(Settings(**settings), 5) == expected  # noqa: SLF001


def test_a_door_of_the_cluster_is_asked_where_it_is(monkeypatch):
    class Answer:
        def result(self, timeout_s):
            assert timeout_s > 0
            return "http://10.0.0.7:3000"

    def handle(name):
        assert name == "flux"
        return SimpleNamespace(url=SimpleNamespace(remote=Answer))

    monkeypatch.setattr(launch, "serve", SimpleNamespace(get_app_handle=handle))
    assert launch._some_door() == "http://10.0.0.7:3000"  # noqa: SLF001 - the phase itself


def test_place_of_snapshots_that_cannot_be_read_is_told_at_the_start(monkeypatch):
    launch.check_snapshots("memory://snapshots")
    launch.check_snapshots("/nobody/needs/this/folder/yet")
    with pytest.raises(Refused, match="nonsense"):
        launch.check_snapshots("nonsense://snapshots")
    place = MemoryPlace()
    place.away = True
    monkeypatch.setattr(launch, "open_store", lambda text: PlacedSnapshotStore(place))
    with pytest.raises(Unavailable, match="cannot be reached"):
        launch.check_snapshots("memory://snapshots")
