"""One partition: a log that is away or is trimmed while it is read. All else is in test_taking.py."""

from __future__ import annotations

from typing import Any

import pytest

from flux_actors import limits
from flux_actors.backup import partition
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.memory import MemoryReader
from tests.unit.backup.world import World


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Have pulls do these things, one each, before they are as ever."""
    steps: list[Any] = []
    pull = MemoryReader.pull

    async def scripted(reader: MemoryReader, timeout_s: float) -> Any:
        if steps:
            steps.pop(0)()
        return await pull(reader, timeout_s)

    monkeypatch.setattr(MemoryReader, "pull", scripted)
    monkeypatch.setattr(partition, "_RETRY_S", 0.0)
    return steps


def away() -> None:
    raise Unavailable("the log cannot be reached")


async def test_log_that_is_away_for_a_moment_is_waited_for(world: World, failing: list[Any]) -> None:
    await world.fill([1, 2])
    failing += [away, away]
    assert (await world.back_up()).parts[0].last == 2


async def test_log_that_stays_away_is_told(
    world: World, failing: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "backup_patience_s", 0.0)
    await world.fill([1, 2])
    failing += [away]
    with pytest.raises(Unavailable, match="cannot be reached"):
        await world.back_up()


async def test_log_that_is_trimmed_while_it_is_read_is_to_be_backed_up_again(
    world: World, failing: list[Any]
) -> None:
    await world.fill(range(1, 6))
    await world.snapshot(until=4)
    failing += [lambda: world.log.trim(0, 4)]
    with pytest.raises(Unavailable, match="trimmed while it was read; take the backup again"):
        await world.back_up()
    assert (await world.back_up()).parts[0].first == 4


async def test_log_that_lost_a_block_is_corrupt(world: World) -> None:
    await world.fill(range(1, 6))
    world.log.lose(0, 3)
    with pytest.raises(Corrupt):
        await world.back_up()


async def test_how_far_it_is_is_told(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "report_every_s", 0.0)
    await world.fill([1, 2])
    await world.back_up()
    assert "partition 0: block 2 of 2, 0 MiB" in world.told
