from __future__ import annotations

import asyncio
from functools import partial

import msgspec
import pytest

from flux_actors import limits
from flux_actors.behaviour.code import digest_of
from flux_actors.behaviour.code_store import MemoryCodeStore
from flux_actors.behaviour.deployer import CATALOGUE_KEY, Deployer, DeployRequest, control_block
from flux_actors.domain.acting import deploying
from flux_actors.domain.acting.catalogue import Catalogue, Version
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_actors.log.block import decode_block_heads, has_control
from flux_actors.log.memory import MemoryKeyValue, MemoryLog
from tests.unit.log.virtual_clock import on_virtual_clock

CODE = b"code"
VERSION = Version(0, digest_of(CODE), ["home/*"], ["on_change"])
NOW_US = 1_700_000_000_000_000


class LogOfHoles(MemoryLog):
    """A log some of whose partitions are away."""

    def __init__(self, partitions: int) -> None:
        super().__init__(partitions)
        self.holes: set[int] = set()

    async def append(self, partition: int, data: bytes, block_id: str, timeout_s: float) -> int:
        if partition in self.holes:
            raise Unavailable("the log cannot be reached")
        return await super().append(partition, data, block_id, timeout_s)


class Place:
    """A deployer and all around it."""

    def __init__(self, partitions: int = 3) -> None:
        self.store = MemoryKeyValue()
        self.code = MemoryCodeStore()
        self.log = LogOfHoles(partitions)
        self.partitions = partitions
        self.deployer = self.another()

    def another(self) -> Deployer:
        return Deployer(self.store, self.code, self.log, self.partitions, lambda: NOW_US)

    async def deploy(self, name: str = "Fan", version: Version = VERSION) -> Catalogue:
        return await self.deployer.change(partial(deploying.deploy, name=name, version=version))

    async def blocks(self, partition: int) -> list[bytes]:
        last = (await self.log.bounds(partition)).last
        return [await self.log.block(partition, sequence) for sequence in range(1, last + 1)]

    async def folded(self, partition: int) -> Catalogue:
        """The catalogue that a shard goes by after it has read the log of its partition."""
        state = PartitionState(partition)
        blocks = await self.blocks(partition)
        state.apply((number, decode_block_heads(data)) for number, data in enumerate(blocks, 1))
        return state.acting.catalogue


@pytest.fixture
def place() -> Place:
    return Place()


async def test_change_is_in_the_store_and_in_every_log(place: Place) -> None:
    catalogue = await place.deploy()
    assert catalogue.revision == 1
    assert await place.deployer.catalogue() == catalogue
    for partition in range(3):
        assert await place.folded(partition) == catalogue
        assert [has_control(data) for data in await place.blocks(partition)] == [True]


async def test_nothing_is_deployed_at_first(place: Place) -> None:
    assert await place.deployer.catalogue() == Catalogue()


async def test_what_changes_nothing_is_not_told(place: Place) -> None:
    await place.deploy()
    await place.deploy()
    assert [len(await place.blocks(partition)) for partition in range(3)] == [1, 1, 1]
    assert (await place.deployer.catalogue()).revision == 1


async def test_refused_change_leaves_everything(place: Place) -> None:
    with pytest.raises(Refused, match="none is deployed"):
        await place.deployer.change(partial(deploying.remove, name="Fan"))
    assert await place.store.keys() == []
    assert await place.blocks(0) == []


async def test_deployers_that_race_all_win_in_the_end(place: Place) -> None:
    others = [place.another() for _ in range(4)]
    await asyncio.gather(
        *(
            other.change(partial(deploying.deploy, name=f"Fan{number}", version=VERSION))
            for number, other in enumerate(others)
        )
    )
    catalogue = await place.deployer.catalogue()
    assert [one.name for one in catalogue.deployed] == ["Fan0", "Fan1", "Fan2", "Fan3"]
    assert catalogue.revision == 4
    for partition in range(3):
        assert await place.folded(partition) == catalogue


@on_virtual_clock
async def test_deployer_gives_up_when_others_are_always_faster() -> None:
    place = Place()

    class Busy(MemoryKeyValue):
        async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
            raise Refused("changed", 409)

    place.store = Busy()
    place.deployer = place.another()
    with pytest.raises(Unavailable, match="by others"):
        await place.deploy()


async def test_store_that_is_away_changes_nothing(place: Place) -> None:
    place.store.away = True
    with pytest.raises(Unavailable):
        await place.deploy()
    assert await place.blocks(0) == []


@on_virtual_clock
async def test_partition_that_is_away_is_told_of_and_brought_there_later() -> None:
    place = Place()
    place.log.holes = {1}
    with pytest.raises(Unavailable, match="partition 1 yet; it will be brought there by itself"):
        await place.deploy()
    catalogue = await place.deployer.catalogue()
    assert (await place.folded(0), await place.folded(1)) == (catalogue, Catalogue())
    assert asyncio.get_running_loop().time() >= limits.append_deadline_s - 1
    place.log.holes.clear()
    await place.deployer.spread(catalogue, [1])
    assert [await place.folded(partition) for partition in range(3)] == [catalogue] * 3
    assert len(await place.blocks(0)) == 1


@on_virtual_clock
async def test_append_without_an_answer_is_repeated_and_stored_once() -> None:
    place = Place(1)
    place.log.lose_acks = 2
    catalogue = await place.deploy()
    assert len(await place.blocks(0)) == 1
    assert await place.folded(0) == catalogue


async def test_catalogue_brought_again_or_late_changes_nothing(place: Place) -> None:
    first = await place.deploy()
    second = await place.deploy("Thermostat")
    for catalogue in (second, first):
        block = control_block(catalogue, NOW_US, 1 + catalogue.revision)
        await place.log.append(0, block, f"again-{catalogue.revision}", 1.0)
    assert len(await place.blocks(0)) == 4
    assert await place.folded(0) == second


async def test_code_is_there_before_anybody_reads_of_it(place: Place) -> None:
    environment = b'{"pip":["x"]}'
    version = msgspec.structs.replace(VERSION, environment=digest_of(environment))
    await place.deployer.store_code(DeployRequest("Fan", version, CODE, environment))
    assert await place.code.get(version.digest) == CODE
    assert await place.code.get(version.environment) == environment
    with pytest.raises(Refused, match="own digest"):
        await place.deployer.store_code(DeployRequest("Fan", version, b"other", environment))


def test_request_says_what_it_makes_of_a_catalogue() -> None:
    request = DeployRequest("Fan", VERSION, CODE)
    deployed = request.change(7)(Catalogue())
    assert request.version_in(deployed) == msgspec.structs.replace(VERSION, number=1, deployed_us=7)
    tried = msgspec.structs.replace(request, canary="home/h")
    after = tried.change(8)(deployed)
    assert tried.version_in(after) == msgspec.structs.replace(VERSION, number=2, deployed_us=8)
    assert request.version_in(after).number == 1


async def test_catalogue_that_cannot_be_read_is_corrupt(place: Place) -> None:
    await place.store.put(CATALOGUE_KEY, b"\x93nonsense")
    with pytest.raises(Corrupt, match="flux_behaviours"):
        await place.deploy()
