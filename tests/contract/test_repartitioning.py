"""Two commands at once on one log of a real nats-server: whatever they do, what was acknowledged stays."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from nats.aio.client import Client

from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt, Refused
from flux_actors.log.block import encode_block, encode_event
from flux_actors.log.connection import NatsAccess, connect
from flux_actors.log.jetstream import JetStreamLog
from flux_actors.log.key_value import JetStreamKeyValue
from flux_actors.log.ports import Versioned
from flux_actors.repartition.copying import Copier
from flux_actors.router.succession import registered
from flux_actors.router.topology import LOG_KEY, REGISTRY_BUCKET, LogRegistry, encode
from flux_actors.settings_loading import load_settings
from flux_actors.shard.partition import decoded
from flux_cluster import repartitioning
from flux_cluster.data_folder import DataFolder
from flux_cluster.reaching import started
from flux_cluster.repartitioning import Repartitioned, _forget, _run

pytestmark = pytest.mark.real

BEFORE = LogRegistry("log", 2)


class Flux:
    """A log, and the commands on it."""

    def __init__(self, client: Client, access: NatsAccess, tmp_path: Path) -> None:
        self.access = access
        self.settings = load_settings({"data": tmp_path / "data"}, {})
        self.client = client
        self.acked: dict[str, int] = {}
        self.told: list[str] = []

    async def begin(self) -> None:
        await JetStreamLog(self.client).create(2, "log", 1)
        self.store = await JetStreamKeyValue.open(self.client, REGISTRY_BUCKET)
        await self.store.put(LOG_KEY, encode(BEFORE))
        for number in range(1, 41):
            await self.write(number)

    async def write(self, number: int) -> None:
        registry = await registered(self.store)
        assert registry is not None
        entity = f"n{number % 9}/{number % 7}"
        event = Event(entity, {"v": number}, f"e{number}", True, "s", "t", 1)
        data = encode_block(1, number, 1_000_000 + number, [encode_event(event)])
        log = JetStreamLog(self.client, registry.generation)
        await log.append(registry.partitioning().of_entity(entity), data, f"b{number}", 10.0)
        self.acked[entity] = number

    async def repartition(self, partitions: int) -> Repartitioned:
        return await _run(self.access, self.settings, partitions, None, self.told.append, keep_old=False)

    async def forget(self) -> int:
        return await _forget(self.access, self.settings)

    async def state(self) -> dict[str, int]:
        """Return what the log that is the log says."""
        registry = await registered(self.store)
        assert registry is not None
        log, found = JetStreamLog(self.client, registry.generation), {}
        for partition in range(registry.partitions):
            bounds = await log.bounds(partition)
            assert bounds.whole
            state = PartitionState(partition, bounds.origin - 1)
            reader = log.reader(partition, state.sequence)
            while state.sequence < bounds.last:
                blocks = await reader.pull(1.0)
                state.apply(((one.sequence, decoded(one)) for one in blocks), feed=False)
            await reader.close()
            found |= {name: actor.properties["v"] for name, actor in state.entities.items()}
        return found


@pytest.fixture
async def flux(tmp_path: Path) -> AsyncIterator[Flux]:
    with started(DataFolder(tmp_path / "data")) as access:
        client = await connect(access, "test")
        found = Flux(client, access, tmp_path)
        await found.begin()
        yield found
        await client.close()


class Stop:
    """Where somebody waits, until it may go on."""

    def __init__(self) -> None:
        self.reached = asyncio.Event()
        self.passable = asyncio.Event()

    async def __call__(self) -> None:
        self.reached.set()
        await self.passable.wait()


class Meeting:
    """Of two commands the first one stops when all is copied and stored, the second when it has begun."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.first, self.second = Stop(), Stop()
        begin, keep = Copier.begin, Copier.keep_snapshots
        copiers: list[Copier] = []

        async def begun(copier: Copier) -> None:
            copiers.append(copier)
            await begin(copier)
            if copier is not copiers[0]:
                await self.second()

        async def kept(copier: Copier) -> None:
            await keep(copier)
            if copier is copiers[0]:
                await self.first()

        monkeypatch.setattr(Copier, "begin", begun)
        monkeypatch.setattr(Copier, "keep_snapshots", kept)


async def test_of_two_commands_the_first_is_refused_and_the_second_comes_to_its_end(
    flux: Flux, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = Meeting(monkeypatch)
    first = asyncio.create_task(flux.repartition(3))
    await meeting.first.reached.wait()
    second = asyncio.create_task(flux.repartition(3))
    await meeting.second.reached.wait()
    meeting.first.passable.set()
    with pytest.raises(Refused, match="run it again"):
        await first
    assert await flux.state() == flux.acked
    await flux.write(41)
    meeting.second.passable.set()
    done = await second
    assert (done.after.generation, done.removed) == (2, 2)
    assert await flux.state() == flux.acked
    await flux.write(42)
    assert await flux.state() == flux.acked


async def test_what_is_being_copied_does_not_become_the_log_once_it_was_forgotten(
    flux: Flux, monkeypatch: pytest.MonkeyPatch
) -> None:
    meeting = Meeting(monkeypatch)
    copying = asyncio.create_task(flux.repartition(3))
    await meeting.first.reached.wait()
    assert await flux.forget() == 3
    meeting.first.passable.set()
    with pytest.raises(Refused, match="run it again"):
        await copying
    assert await flux.state() == flux.acked
    await flux.write(41)
    assert await flux.state() == flux.acked


async def test_the_log_as_it_was_is_kept_where_shards_do_not_serve_the_next_one(
    flux: Flux, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> bool:
        return False

    monkeypatch.setattr(repartitioning, "_may_run", lambda _: True)
    monkeypatch.setattr(repartitioning, "is_served", never)
    assert (await flux.repartition(3)).removed == 0
    assert any("do not serve the new log yet" in text for text in flux.told)
    assert (await JetStreamLog(flux.client).bounds(0)).whole
    assert await flux.state() == flux.acked
    assert await flux.forget() == 2


async def test_the_log_is_not_forgotten_where_a_replica_of_the_registry_is_behind(
    flux: Flux, monkeypatch: pytest.MonkeyPatch
) -> None:
    behind = await flux.store.get(LOG_KEY)
    await flux.repartition(3)
    get = JetStreamKeyValue.get

    async def answered(store: JetStreamKeyValue, key: str) -> Versioned | None:
        if key == LOG_KEY and answers:
            return answers.pop()
        return await get(store, key)

    monkeypatch.setattr(JetStreamKeyValue, "get", answered)
    answers = [behind] * 3
    assert await flux.forget() == 0
    assert not answers
    assert await flux.state() == flux.acked


async def test_nothing_is_removed_where_the_log_is_not_there(flux: Flux) -> None:
    known = await flux.store.get(LOG_KEY)
    await flux.store.put(LOG_KEY, encode(LogRegistry("next", 2, generation=2)))
    with pytest.raises(Corrupt):
        await flux.forget()
    assert known is not None
    await flux.store.put(LOG_KEY, known.value)
    assert await flux.state() == flux.acked
