"""All connectors of one namespace: they follow the configuration, and none holds up another."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.connectors.base import Answer, Connector
from flux_actors.connectors.catalogue import GROUP, Catalogue
from flux_actors.connectors.namespace_connectors import Kit, NamespaceConnectors, StoredMemory
from flux_actors.connectors.records import Configured, ConnectorStore, Memory, new_configured
from flux_actors.connectors.vault import Vault
from flux_actors.log.memory import MemoryKeyValue
from tests.unit.connectors.fake_parts import NOW_S, FakeClock, ListWriter, ScriptedWeb, settle

KEY = bytes(32)


class Echo(Connector):
    """Yields what it was given."""

    interval_s = 30.0

    async def poll(self, context: Any) -> Any:
        yield "echo", {"token": context.token, "settings": dict(context.settings)}


class Stuck(Connector):
    """Never comes back."""

    async def poll(self, context: Any) -> Any:
        await asyncio.Event().wait()
        yield "never", {}


class Stubborn(Connector):
    """Goes on when it is told to end, until a test lets it."""

    release = asyncio.Event()

    async def poll(self, context: Any) -> Any:
        while not self.release.is_set():
            with suppress(asyncio.CancelledError):
                await self.release.wait()
        yield "x", {}


class Home:
    """The connectors of the namespace `home`, and what they stand on."""

    def __init__(self) -> None:
        self.values = MemoryKeyValue()
        self.store = ConnectorStore(self.values)
        self.vault = Vault([KEY]).of("home")
        self.clock = FakeClock()
        self.writers: dict[tuple[str, str, str], ListWriter] = {}
        self.webs: list[ScriptedWeb] = []
        points = [
            EntryPoint(kind.__name__.lower(), f"{__name__}:{kind.__name__}", GROUP)
            for kind in (Echo, Stuck, Stubborn)
        ]
        kit = Kit(self.web, self.writer, self.clock, lambda: 0.5, {"github_url": "https://x"})
        self.connectors = NamespaceConnectors("home", self.vault, self.store, Catalogue(lambda: points), kit)

    def web(self, connector: Connector) -> ScriptedWeb:
        self.webs.append(ScriptedWeb(lambda *_: Answer(200, {}, b'{"x":1}')))
        return self.webs[-1]

    def writer(self, *place: str) -> ListWriter:
        return self.writers.setdefault((place[0], place[1], place[2]), ListWriter())

    async def configure(self, key: str, configured: Configured | None) -> None:
        def change(connectors: dict[str, Configured]) -> None:
            connectors.pop(key, None)
            if configured is not None:
                connectors[key] = configured

        await self.store.change("home", change)
        await self.connectors.refresh()
        await settle()

    def sealed(self, key: str, token: str, **settings: Any) -> Configured:
        return new_configured(self.vault.seal(key, token), settings)


@pytest.fixture
async def home(monkeypatch):
    import sys  # noqa: PLC0415 - pytest imports this file under a name that importlib does not know

    monkeypatch.setitem(sys.modules, __name__, type(sys)(__name__))
    vars(sys.modules[__name__]).update(Echo=Echo, Stuck=Stuck, Stubborn=Stubborn)
    home = Home()
    yield home
    await home.connectors.close()


SOURCE = {
    "name": "w",
    "url": "https://api.example/",
    "poll_interval_secs": 5,
    "entity_key": "weather",
    "namespace": "elsewhere",
}


async def test_what_is_configured_is_polled_with_its_token_and_settings(home):
    await home.configure("echo", home.sealed("echo", "t1", city="Berlin"))
    place = ("home/echo/", "echo", "connector/echo")
    assert home.writers[place].written == [("echo", {"token": "t1", "settings": {"city": "Berlin"}})]
    status = home.connectors.status()["echo"]
    assert (status.last_poll_ms, status.last_error, status.interval_s) == (int(NOW_S * 1000), None, 30.0)


async def test_a_generic_source_writes_where_it_was_asked_to(home):
    await home.configure("generic/src_1", new_configured(None, SOURCE))
    writer = home.writers["elsewhere/", "generic", "connector/generic/src_1"]
    assert writer.written == [("weather", {"x": 1})]
    assert home.connectors.status()["generic/src_1"].interval_s == 5.0


async def test_what_is_no_longer_configured_ends(home):
    await home.configure("generic/src_1", new_configured(None, SOURCE))
    await home.configure("generic/src_1", None)
    asked = len(home.webs[0].asked)
    await home.clock.advance(60)
    assert len(home.webs[0].asked) == asked
    assert home.webs[0].closed
    assert home.connectors.status() == {}


async def test_a_new_token_begins_anew(home):
    await home.configure("echo", home.sealed("echo", "t1"))
    await home.configure("echo", home.sealed("echo", "t2"))
    (writer,) = home.writers.values()
    assert [properties["token"] for _, properties in writer.written if properties] == ["t1", "t2"]


async def test_a_resealed_token_does_not(home):
    configured = home.sealed("echo", "t1")
    await home.configure("echo", configured)
    await home.configure("echo", Configured(configured.revision, home.vault.seal("echo", "t1")))
    (writer,) = home.writers.values()
    assert len(writer.written) == 1


async def test_one_that_never_comes_back_holds_up_nobody(home):
    await home.configure("stuck", home.sealed("stuck", "t"))
    await home.configure("echo", home.sealed("echo", "t1"))
    await home.clock.advance(60)
    assert len(home.writers["home/echo/", "echo", "connector/echo"].written) == 3
    await home.configure("stuck", None)
    assert set(home.connectors.status()) == {"echo"}


@pytest.mark.parametrize(
    ("key", "configured", "reason"),
    [
        ("gone", new_configured(None, {}), "no installed package"),
        ("echo", new_configured("AAAA", {}), "damaged"),
        (
            "echo",
            new_configured(Vault([b"\x01" * 32]).of("home").seal("echo", "t"), {}),
            "FLUX_ENCRYPTION_KEY",
        ),
    ],
    ids=["package", "credential", "key"],
)
async def test_one_that_cannot_begin_says_so_and_the_others_do(home, key, configured, reason):
    await home.configure(key, configured)
    await home.configure("generic/src_1", new_configured(None, SOURCE))
    status = home.connectors.status()
    assert reason in status[key].last_error
    assert status[key].failing
    assert not status["generic/src_1"].failing
    memory, _ = await home.store.memory("home", key)
    assert memory is not None
    assert reason in str(memory.last_error)
    await home.configure(key, None)
    assert set(home.connectors.status()) == {"generic/src_1"}


async def test_one_whose_task_died_begins_again(home):
    await home.configure("echo", home.sealed("echo", "t1"))
    home.connectors._running["echo"].task.cancel()  # noqa: SLF001 - as a fault of its own would end it
    await settle()
    await home.connectors.refresh()
    await home.clock.advance(60)
    assert len(home.writers["home/echo/", "echo", "connector/echo"].written) >= 3


async def test_one_that_does_not_let_itself_be_cancelled_holds_up_nobody(home, monkeypatch):
    monkeypatch.setattr("flux_actors.connectors.namespace_connectors._END_S", 0.01)
    await home.configure("stubborn", home.sealed("stubborn", "t"))
    await home.configure("stubborn", None)
    await home.configure("echo", home.sealed("echo", "t1"))
    assert set(home.connectors.status()) == {"echo"}
    Stubborn.release.set()


async def test_settings_that_make_a_connector_fail_at_once_break_it_alone(home):
    await home.configure("generic/src_1", new_configured(None, {"name": "half"}))
    await home.configure("echo", home.sealed("echo", "t1"))
    status = home.connectors.status()
    assert status["generic/src_1"].failing
    assert not status["echo"].failing


async def test_it_follows_by_itself_when_nobody_tells(home):
    task = asyncio.create_task(home.connectors.follow())
    await settle()
    sealed = home.sealed("echo", "t1")
    await home.store.change("home", lambda connectors: connectors.update(echo=sealed))
    await home.clock.advance(limits.connector_look_s)
    assert set(home.connectors.status()) == {"echo"}
    await home.values.put("config.home", b"{")  # cannot be read: what runs goes on
    await home.clock.advance(limits.connector_look_s * 3)
    assert set(home.connectors.status()) == {"echo"}
    task.cancel()


async def test_what_is_known_is_kept_when_it_closes(home):
    await home.configure("generic/src_1", new_configured(None, SOURCE))
    await home.clock.advance(7)
    await home.connectors.close()
    memory, _ = await home.store.memory("home", "generic/src_1")
    assert memory is not None
    assert memory.last_poll_ms == (NOW_S + 5) * 1000


async def test_memory_that_was_overtaken_is_written_the_next_time(home):
    memory = StoredMemory(home.store, "home", "echo")
    await memory.save(Memory("r1"))
    await home.store.remember("home", "echo", Memory("r2"), (await home.store.memory("home", "echo"))[1])
    await memory.save(Memory("r3"))
    assert (await home.store.memory("home", "echo"))[0] == Memory("r2")
    await memory.save(Memory("r4"))
    assert (await home.store.memory("home", "echo"))[0] == Memory("r4")


async def test_no_log_line_holds_a_token(home, lines):
    await home.configure("echo", home.sealed("echo", "s3cret"))
    await home.configure("echo", None)
    assert lines
    assert "s3cret" not in str(lines)


async def test_it_tells_of_connectors_by_name_and_of_no_namespace(home):
    await home.configure("echo", home.sealed("echo", "t1"))
    await home.configure("generic/src_1", new_configured(None, SOURCE))
    await home.configure("generic/src_2", new_configured(None, {}))
    told = {(sample.name, *sample.labels): sample.value for sample in home.connectors.samples()}
    assert told["flux_connector_sources", "generic"] == 2
    assert told["flux_connector_failing_sources", "generic"] == 1
    assert told["flux_connector_failing_sources", "echo"] == 0
    assert told["flux_connector_polls_total", "echo"] == told["flux_connector_events_total", "echo"] == 1
    assert {label for _, *labels in told for label in labels} == {"echo", "generic"}


async def test_what_was_counted_stays_when_a_connector_is_taken_away(home):
    await home.configure("echo", home.sealed("echo", "t1"))
    await home.configure("echo", None)
    told = {sample.name: sample.value for sample in home.connectors.samples()}
    assert told["flux_connector_sources"] == 0
    assert told["flux_connector_polls_total"] == 1
