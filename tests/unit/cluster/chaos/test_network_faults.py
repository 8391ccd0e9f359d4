"""Whom the faults of the network are for, and that they end."""

from __future__ import annotations

import os
import random
from types import SimpleNamespace

import pytest

from flux_actors.errors import Unavailable
from flux_cluster.chaos import network_faults
from flux_cluster.chaos.network_faults import FAULTS
from flux_cluster.chaos.ray_nodes import NODE
from flux_cluster.chaos.relay import Suffering, Trouble

SOMEBODY = 4711


class Relay:
    """What a relay was told; it has some connections."""

    def __init__(self, *connections: int) -> None:
        self.connections = connections
        self.sufferings: list[Suffering] = []

    def suffer(self, trouble, who) -> Suffering:
        self.sufferings.append(suffering := Suffering(trouble, who))
        suffering.met |= set(self.connections)
        return suffering

    def heal(self, suffering) -> None:
        self.sufferings.remove(suffering)


@pytest.fixture
def world():
    """A world whose door, shard and router are this process, on a node of number 1."""
    return SimpleNamespace(
        relays=[Relay(), Relay(7), Relay()],
        ray=SimpleNamespace(nodes={1: None}),
        processes=lambda title: [SimpleNamespace(pid=os.getpid())] if title.startswith("ray::") else [],
    )


async def suffered(world, what, **options):
    """Return the trouble that all relays are in, and for whom; and heal it."""
    fault = FAULTS[what](**options)
    await fault.inject(world, random.Random(1))
    sufferings = [one for relay in world.relays for one in relay.sufferings]
    (trouble,) = {one.trouble for one in sufferings}
    await fault.heal(world)
    assert [relay.sufferings for relay in world.relays] == [[], [], []]
    return trouble, [one.who for one in sufferings]


@pytest.mark.parametrize(
    ("what", "options", "trouble"),
    [
        ("nats-cut", {}, Trouble(refuses=True)),
        ("nats-half", {}, Trouble(loses_down=True)),
        ("nats-half", {"loses": "up"}, Trouble(loses_up=True)),
        ("nats-half", {"loses": "both"}, Trouble(loses_up=True, loses_down=True)),
        ("nats-delay", {"delay_s": 0.5}, Trouble(delay_s=0.5)),
    ],
)
async def test_what_is_wrong_with_the_way_to_all_servers(world, what, options, trouble):
    assert (await suffered(world, what, **options))[0] == trouble


@pytest.mark.parametrize("part", ["door", "shard", "router"])
async def test_one_process_may_be_meant(world, part):
    _, whom = await suffered(world, "nats-cut", between=part)
    assert all(who(os.getpid()) and not who(SOMEBODY) for who in whom)


async def test_everybody_may_be_meant(world):
    _, whom = await suffered(world, "nats-cut", between="all")
    assert all(who(os.getpid()) and who(SOMEBODY) for who in whom)


async def test_all_of_a_node_may_be_meant_those_that_start_later_too(world, monkeypatch):
    there = {SOMEBODY: {NODE: "1"}, SOMEBODY + 1: {NODE: "2"}, SOMEBODY + 2: {}}
    monkeypatch.setattr(
        "flux_cluster.chaos.ray_nodes.psutil.Process",
        lambda pid: SimpleNamespace(environ=lambda: there[pid]),
    )
    _, whom = await suffered(world, "nats-cut", between="node")
    assert [whom[0](pid) for pid in there] == [True, False, False]


async def test_a_fault_that_ends_leaves_the_others(world):
    slow, dead = FAULTS["nats-delay"](delay_s=0.5), FAULTS["nats-half"]()
    await slow.inject(world, random.Random(1))
    await dead.inject(world, random.Random(1))
    await slow.heal(world)
    assert {one.trouble for relay in world.relays for one in relay.sufferings} == {Trouble(loses_down=True)}
    await dead.heal(world)
    assert [relay.sufferings for relay in world.relays] == [[], [], []]


async def test_a_fault_that_meets_no_connection_fails(world, monkeypatch):
    monkeypatch.setattr(network_faults, "_MET_S", 0.02)
    world.relays = [Relay(), Relay(), Relay()]
    fault = FAULTS["nats-cut"](between="node")
    with pytest.raises(Unavailable, match="a connection to NATS of node 1: its network cannot be broken"):
        await fault.inject(world, random.Random(1))
    await fault.heal(world)
    assert [relay.sufferings for relay in world.relays] == [[], [], []]
