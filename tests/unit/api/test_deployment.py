"""A replica: its listener is its health, and it closes from the outside in, once."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.router import founding
from flux_actors.settings import Settings
from flux_api import deployment
from flux_api.connections import Connections
from flux_api.deployment import Ingress, _with_farewell, application
from flux_api.tenancy import TenancyKeeper

ACCESS = NatsAccess("nats://nowhere")


class FakePart:
    """A door or a listener that tells when it opens and closes."""

    def __init__(self, name, done):
        self._name, self._done, self.listens = name, done, False
        self.client = SimpleNamespace(is_closed=False)
        self.tenancy = TenancyKeeper(None, None)
        self.traces = None
        self.crowd = Connections()
        self.meter = SimpleNamespace(see_listener=lambda hot, crowd: done.append("the meter sees it"))
        self.log_has_ended = asyncio.Event()
        self.succession = SimpleNamespace(wait=self.log_has_ended.wait)
        self.partitioning = Partitioning(8)

    def give_up(self):
        self._done.append(f"{self._name} gives up")

    async def open(self):
        self._done.append(f"{self._name} opens")
        self.listens = True

    async def close(self):
        self._done.append(f"{self._name} closes")
        self.listens = False


@pytest.fixture
def done(monkeypatch):
    """What was done, in order, on fakes of the parts of a replica."""
    done = []

    async def open_door(*_):
        door = FakePart("door", done)
        await door.open()
        return door

    monkeypatch.setattr(deployment, "open_door", open_door)
    monkeypatch.setattr(deployment, "build_app", lambda *_: answer)
    monkeypatch.setattr(deployment, "Listener", lambda *_: FakePart("listener", done))
    return done


async def answer(scope, receive, send):
    """The app."""
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


async def through_the_proxy(replica, path):
    transport = httpx.ASGITransport(replica.__serve_build_asgi_app__())
    async with httpx.AsyncClient(transport=transport, base_url="http://flux") as client:
        return (await client.get(path)).text


async def made(kind=Ingress, plan=None):
    """Return a replica, made as Serve makes one."""
    replica = kind.__new__(kind)
    await replica.__init__(Settings(), ACCESS, plan)
    return replica


async def test_it_listens_once_its_door_is_open_and_serves_the_same_app_to_the_proxy(done):
    replica = await made()
    assert done == ["door opens", "listener opens", "the meter sees it"]
    assert await through_the_proxy(replica, "/api/health") == "/api/health"


async def test_when_the_log_has_a_next_generation_it_opens_a_door_to_that_before_it_closes_the_other(done):
    replica = await made()
    first = replica._door  # noqa: SLF001 - Serve sees no door
    first.log_has_ended.set()
    async with asyncio.timeout(5):
        while "door closes" not in done:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
    opened = ["door opens", "listener opens", "the meter sees it"]
    assert done == [*opened, *opened, "door gives up", "listener closes", "door closes"]
    assert replica._door is not first  # noqa: SLF001
    assert replica._listener.listens  # noqa: SLF001
    assert await through_the_proxy(replica, "/api/ws") == "/api/ws"
    await replica.drain()
    assert done[-2:] == ["listener closes", "door closes"]


async def test_a_door_that_cannot_be_opened_yet_is_tried_again(done, monkeypatch):
    replica = await made()
    open_door, tries = deployment.open_door, []

    async def not_yet(*arguments):
        tries.append(1)
        if len(tries) < 3:
            raise Unavailable("the router has not placed the partitions yet")
        return await open_door(*arguments)

    monkeypatch.setattr(deployment, "open_door", not_yet)
    replica._door.log_has_ended.set()  # noqa: SLF001
    async with asyncio.timeout(5):
        while "door closes" not in done:  # noqa: ASYNC110 - nobody is told
            await asyncio.sleep(0)
    assert len(tries) == 3
    await replica.drain()


async def test_it_is_replaced_when_its_listener_has_ended_by_itself(done):
    replica = await made()
    await replica.check_health()
    replica._listener.listens = False  # noqa: SLF001 - as if uvicorn had ended
    with pytest.raises(Unavailable, match="listener of this door has ended"):
        await replica.check_health()


async def test_it_is_replaced_when_the_log_has_shut_it_out_for_good(done):
    replica = await made()
    replica._door.client.is_closed = True  # noqa: SLF001 - as after an error of the server
    with pytest.raises(Unavailable, match="closed by the server"):
        await replica.check_health()


async def test_it_is_replaced_when_it_cannot_go_on_with_the_next_generation_of_the_log(done, monkeypatch):
    async def broken(*_):
        raise OSError("the port is somebody else's")

    replica = await made()
    first = replica._door  # noqa: SLF001 - as below
    monkeypatch.setattr(deployment, "open_door", broken)
    first.log_has_ended.set()
    with pytest.raises(OSError, match="somebody else's"):
        await asyncio.wait_for(replica._following, 5)  # noqa: SLF001
    with pytest.raises(Unavailable, match="next generation"):
        await replica.check_health()
    assert replica._door is first  # noqa: SLF001
    await replica.drain()


async def test_it_stops_listening_before_its_door_closes_and_is_not_replaced_for_it(done):
    replica = await made()
    for _ in range(2):
        await replica.drain()
    assert done[3:] == ["listener closes", "door closes"]
    await replica.check_health()


async def test_serve_drains_it_before_it_takes_it_down(done):
    class Wrapped(Ingress):
        async def __del__(self):
            done.append("serve takes it down")

    replica = await made(_with_farewell(Wrapped))
    await replica.__del__()
    type(replica).__del__ = lambda _: None  # the garbage collector's call is not Serve's
    assert done[3:] == ["listener closes", "door closes", "serve takes it down"]


def test_it_has_as_many_replicas_as_were_asked_for():
    asked = application(Settings(doors=7), ACCESS)
    assert asked._bound_deployment.num_replicas == 7  # noqa: SLF001 - Serve shows it nowhere else
    assert asked._bound_deployment.max_ongoing_requests >= 10_000  # noqa: SLF001 - sockets hold one each


def test_it_has_one_for_each_place_of_the_nodes_where_doors_go_by_them():
    asked = application(Settings(doors=7), ACCESS, on_nodes=True)._bound_deployment  # noqa: SLF001 - as above
    assert asked.ray_actor_options["resources"] == {"flux-door": 1}
    assert asked._deployment_config.autoscaling_config.max_replicas >= 1_000  # noqa: SLF001 - as above


class TestStandingAlone:
    """An application with a plan: nobody else starts a router, or takes it down."""

    @pytest.fixture
    def deleted(self, monkeypatch, done):
        """Whether Serve says that the application is being deleted: a list with one answer."""
        deleted = [False]

        async def found(access, plan):
            assert access == ACCESS
            done.append(f"{plan} is followed")

        async def is_being_deleted():
            return deleted[0]

        async def take_down():
            done.append("all is taken down")

        monkeypatch.setattr(founding, "found", found)
        monkeypatch.setattr(deployment, "is_being_deleted", is_being_deleted)
        monkeypatch.setattr(deployment, "take_down", take_down)
        return deleted

    async def test_a_door_sees_to_the_router_before_it_opens(self, done, deleted):
        await made(plan="the plan")
        assert done[:3] == ["the plan is followed", "door opens", "listener opens"]

    async def test_the_doors_take_everything_down_when_the_application_goes(self, done, deleted):
        replica = await made(plan="the plan")
        deleted[0] = True
        for _ in range(2):
            await replica.drain()
        assert done[-3:] == ["listener closes", "door closes", "all is taken down"]

    async def test_a_door_that_goes_for_another_reason_leaves_the_rest(self, done, deleted):
        replica = await made(plan="the plan")
        await replica.drain()
        assert done[-2:] == ["listener closes", "door closes"]

    async def test_without_a_plan_whoever_deployed_it_does_both(self, done, deleted):
        replica = await made()
        deleted[0] = True
        await replica.drain()
        assert (done[0], done[-1]) == ("door opens", "door closes")


async def test_it_tells_whoever_deployed_it_where_it_is(done, monkeypatch):
    replica = await made()
    replica._door.settings = Settings(host="::", port=3001)  # noqa: SLF001 - a door's
    monkeypatch.setattr(deployment, "node_address", lambda: "10.0.0.7")
    assert await replica.url() == "http://10.0.0.7:3001"
