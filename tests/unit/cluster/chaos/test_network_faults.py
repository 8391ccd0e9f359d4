"""Whom the faults of the network are for, and that they end."""

from __future__ import annotations

import os
import random
from types import SimpleNamespace

import pytest

from flux_cluster.chaos.network_faults import FAULTS
from flux_cluster.chaos.ray_nodes import NODE
from flux_cluster.chaos.relay import NONE, Trouble

SOMEBODY = 4711


class Relay:
    """What a relay was told."""

    def __init__(self) -> None:
        self.trouble, self.who = NONE, None

    def suffer(self, trouble, who) -> None:
        self.trouble, self.who = trouble, who

    def heal(self) -> None:
        self.trouble = NONE


@pytest.fixture
def world():
    """A world whose door, shard and router are this process, on a node of number 1."""
    return SimpleNamespace(
        relays=[Relay(), Relay(), Relay()],
        ray=SimpleNamespace(nodes={1: None}),
        processes=lambda title: [SimpleNamespace(pid=os.getpid())] if title.startswith("ray::") else [],
    )


async def suffered(world, what, **options):
    """Return the trouble that all relays are in, and for whom; and heal it."""
    fault = FAULTS[what](**options)
    await fault.inject(world, random.Random(1))
    (trouble,) = {relay.trouble for relay in world.relays}
    whom = [relay.who for relay in world.relays]
    await fault.heal(world)
    assert {relay.trouble for relay in world.relays} == {NONE}
    return trouble, whom


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
        "flux_cluster.chaos.network_faults.psutil.Process",
        lambda pid: SimpleNamespace(environ=lambda: there[pid]),
    )
    _, whom = await suffered(world, "nats-cut", between="node")
    assert [whom[0](pid) for pid in there] == [True, False, False]
