"""A world: whose namespaces are whose, and that it leaves nothing behind."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import psutil
import pytest

from flux_cluster.chaos.world import World


@pytest.fixture
def worlds() -> Iterator[list[World]]:
    """Two that were not started."""
    made = [World(lambda _: None) for _ in range(2)]
    yield made
    for world in made:
        if world.folder.exists():
            world.end()


def test_a_play_has_the_namespaces_that_it_has_in_another_world_and_never_the_same_twice(worlds):
    played = [f"{seed}-{name}" for seed in (1, 2) for name in ("a", "b")]
    one, other = ([world.fresh_prefix(play) for play in played] for world in worlds)
    assert one == other
    assert len({*one, worlds[0].fresh_prefix("1-a"), worlds[0].fresh_prefix("1-a")}) == 6


def test_small_disks_that_were_not_healed_are_unmounted_in_the_end(worlds, monkeypatch):
    world, commands = worlds[0], []
    store = world.folder / "nats-1" / "store"
    store.mkdir(parents=True)
    places = [str(store), f"{world.folder}-other/store", "/", str(store / "deeper")]

    def run(command, **_):
        commands.append(command)
        assert store.exists()
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    mounted = [SimpleNamespace(mountpoint=place) for place in places]
    monkeypatch.setattr(psutil, "disk_partitions", lambda **_: mounted)
    world.end()
    assert commands == [["umount", "--lazy", str(store / "deeper")], ["umount", "--lazy", str(store)]]
    assert not world.folder.exists()


def test_what_a_fault_does_in_a_thread_is_done_before_the_world_ends(worlds, monkeypatch):
    world, begun, may_end = worlds[0], threading.Event(), threading.Event()
    done: list[str] = []
    monkeypatch.setattr(world, "end", lambda: done.append("ended"))

    def work() -> None:
        begun.set()
        may_end.wait(10)
        done.append("worked")

    async def stopped() -> None:
        working = asyncio.create_task(asyncio.to_thread(work))
        await asyncio.to_thread(begun.wait, 10)
        working.cancel()
        stopping = asyncio.create_task(world.stop())
        await asyncio.sleep(0.02)  # in which it would have ended
        may_end.set()
        await stopping

    asyncio.run(stopped())
    assert done == ["worked", "ended"]
