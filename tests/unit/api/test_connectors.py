"""The way from a door to the actors of connectors, and what a door holds of them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from ray.exceptions import RayActorError

from flux_actors import limits
from flux_actors.connectors.catalogue import Catalogue
from flux_actors.connectors.records import ConnectorStore, Status, new_configured
from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.settings import Settings
from flux_api import connectors
from flux_api.connectors import DoorConnectors, RayConnectorActors
from tests.unit.api.standing import settle

STATUS = Status("r1", 1, None, False, 60.0)


class FakeActor:
    """An actor whose methods answer, fail or keep silent, in turn."""

    def __init__(self, *answers: Any) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[Any, ...]] = []
        self.status = self.changed = SimpleNamespace(remote=self._remote)

    def _remote(self, *arguments: Any) -> Any:
        self.asked.append(arguments)
        return self._answer(self._answers.pop(0))

    async def _answer(self, answer: Any) -> Any:
        if isinstance(answer, Exception):
            raise answer
        if answer == "silence":
            await asyncio.Event().wait()
        return answer


@pytest.fixture
def actors(monkeypatch) -> RayConnectorActors:
    monkeypatch.setattr(connectors, "_STATUS_S", 0.01)
    monkeypatch.setattr(connectors, "_TELL_S", 0.01)
    monkeypatch.setattr(connectors, "_TELL_AGAIN_S", 0.0)
    return RayConnectorActors(NatsAccess("nats://x"), Settings())


class TestStatus:
    async def test_the_actor_of_the_namespace_is_asked(self, actors, monkeypatch):
        actor = FakeActor({"github": tuple(STATUS)}, {})
        named: list[Any] = []

        def get_actor(name: str, namespace: str) -> FakeActor:
            named.append((name, namespace))
            return actor

        monkeypatch.setattr(connectors.ray, "get_actor", get_actor)
        assert await actors.status("home") == {"github": STATUS}
        assert await actors.status("home") == {}
        assert named == [("flux-connectors-home", "flux")]

    @pytest.mark.parametrize("fault", [RayActorError(), "silence"])
    async def test_one_that_is_away_is_looked_for_anew(self, actors, monkeypatch, fault):
        fakes = [FakeActor(fault), FakeActor({"github": tuple(STATUS)})]
        monkeypatch.setattr(connectors.ray, "get_actor", lambda name, namespace: fakes.pop(0))
        assert await actors.status("home") is None
        assert await actors.status("home") == {"github": STATUS}

    async def test_where_there_is_none_nobody_says_so(self, actors, monkeypatch):
        def nobody(name: str, namespace: str) -> None:
            raise ValueError("no such actor")

        monkeypatch.setattr(connectors.ray, "get_actor", nobody)
        assert await actors.status("home") is None


class TestTelling:
    async def test_the_keeper_is_told_until_it_hears_and_nobody_waits(self, actors, monkeypatch):
        keeper = FakeActor(RayActorError(), "silence", None)
        monkeypatch.setattr(actors, "_keeper", lambda: keeper)
        actors.changed("home")
        assert keeper.asked == []
        async with asyncio.timeout(5):
            while len(keeper.asked) < 3:  # noqa: ASYNC110 - nobody tells that the keeper heard
                await asyncio.sleep(0.001)
        assert keeper.asked == [("home",)] * 3

    async def test_a_door_that_closes_tells_nobody_any_more(self, actors, monkeypatch):
        keeper = FakeActor("silence")
        monkeypatch.setattr(connectors, "_TELL_S", 60.0)
        monkeypatch.setattr(actors, "_keeper", lambda: keeper)
        telling = asyncio.create_task(actors.told("home"))
        actors.changed("other")
        await actors.close()
        await settle()
        telling.cancel()
        assert all(task.done() for task in actors._telling)  # noqa: SLF001 - what it still does

    async def test_it_gives_up_in_the_end(self, actors, monkeypatch):
        monkeypatch.setattr(connectors, "_TELL_TRIES", 2)
        monkeypatch.setattr(actors, "_keeper", lambda: FakeActor(RayActorError()))
        async with asyncio.timeout(5):
            await actors.told("home")


class TestLooking:
    """A door may die between storing a configuration and starting the keeper."""

    @pytest.fixture
    def watched(self, actors) -> DoorConnectors:
        store = ConnectorStore(MemoryKeyValue())
        return DoorConnectors(store, Catalogue(), actors, Settings())

    @pytest.fixture
    def told(self, actors, monkeypatch) -> list[str]:
        told: list[str] = []

        async def tell(namespace: str) -> None:
            told.append(namespace)

        monkeypatch.setattr(actors, "told", tell)
        return told

    async def configure(self, watched: DoorConnectors, namespace: str) -> None:
        await watched.store.change(namespace, lambda all_: all_.update(github=new_configured(None, {})))

    async def test_a_keeper_that_is_missing_is_started_when_there_is_something_to_keep(
        self, watched, told, monkeypatch
    ):
        def nobody(name: str, namespace: str) -> None:
            assert (name, namespace) == ("flux-keeper", "flux")
            raise ValueError("no such actor")

        monkeypatch.setattr(connectors.ray, "get_actor", nobody)
        await watched.look()
        await self.configure(watched, "home")
        await watched.store.change("home", lambda all_: all_.clear())
        await watched.look()
        assert told == []
        await self.configure(watched, "office")
        await watched.look()
        assert told == ["office"]

    @pytest.mark.parametrize("found", [None, RayActorError()])
    async def test_one_that_is_there_or_may_be_is_left_alone(self, watched, told, monkeypatch, found):
        def somebody(*_: Any, **__: Any) -> None:
            if found is not None:
                raise found

        await self.configure(watched, "home")
        monkeypatch.setattr(connectors.ray, "get_actor", somebody)
        await watched.look()
        assert told == []

    async def test_a_door_looks_again_and_again_until_it_closes(self, watched, monkeypatch):
        looked: list[None] = []

        async def look() -> None:
            looked.append(None)
            raise Unavailable("the log's key-value store cannot be reached")

        monkeypatch.setattr(limits, "keeper_missed_s", 0.001)
        monkeypatch.setattr(watched, "look", look)
        watched.begin()
        async with asyncio.timeout(5):
            while len(looked) < 3:  # noqa: ASYNC110 - nobody tells that it looked
                await asyncio.sleep(0.001)
        await watched.close()
        await settle()
        count = len(looked)
        await asyncio.sleep(0.02)
        assert len(looked) == count


def test_a_door_without_connectors_holds_neither_ciphers_nor_an_http_client():
    """They are 12 MB of every door."""
    code = "import sys, flux_api.app; print(*{'cryptography', 'httpx', 'httpcore'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert found.stdout.split() == []
