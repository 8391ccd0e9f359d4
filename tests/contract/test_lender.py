"""What every `Lender` promises (flux_actors/tenancy/lending.py)."""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from flux_actors.errors import Unavailable
from flux_actors.tenancy.budget import Ask, Grant, Lease, Limit
from flux_actors.tenancy.lending import Lender, MemoryLender
from flux_cluster.ray_head import ray_environment
from tests.conftest import RunningFlux, clean_environment

REVISIONS = itertools.count(1_000_000)  # above any that a config of these tests has
ANSWER_S = 30.0


class LenderElsewhere:
    """The real one, in a process that may speak to the Ray of a running Flux."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    @classmethod
    async def of(cls, flux: RunningFlux) -> LenderElsewhere:
        environment = clean_environment() | ray_environment(flux.data / "ray-token")
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, str(Path(__file__).with_name("lending_process.py")), flux.run.ray_address),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        return cls(process)

    async def lease(self, door: str, asks: Mapping[str, Ask], limit: Limit) -> Lease:
        asked = {name: ask._replace(believed=min(ask.believed, 1e12)) for name, ask in asks.items()}
        assert self.process.stdin
        assert self.process.stdout
        self.process.stdin.write(json.dumps([door, asked, limit]).encode() + b"\n")
        told = json.loads(await asyncio.wait_for(self.process.stdout.readline(), ANSWER_S))
        if "unavailable" in told:
            raise Unavailable(told["unavailable"])
        grants = {name: Grant(*grant) for name, grant in told["grants"].items()}
        return Lease(grants, told["doors"], told["budgets"])

    async def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        await asyncio.wait_for(self.process.wait(), ANSWER_S)


@pytest.fixture(params=["memory", pytest.param("real", marks=pytest.mark.real)])
async def lender(request: pytest.FixtureRequest) -> AsyncIterator[Lender]:
    if request.param == "memory":
        yield MemoryLender(time.monotonic)
        return
    real = await LenderElsewhere.of(request.getfixturevalue("flux"))
    yield real
    await real.close()


@pytest.fixture
def limit() -> Limit:
    return Limit(600, next(REVISIONS))


def since(began: float) -> float:
    """Return how many events have come in to a budget of 600 a minute."""
    return 10 * (time.monotonic() - began)


async def test_a_bucket_is_given_out_once_however_many_ask(
    lender: Lender, limit: Limit, namespace: str
) -> None:
    granted, began = 0, time.monotonic()
    for door in ("a", "b", "a", "b"):
        lease = await lender.lease(door, {namespace: Ask(250)}, limit)
        granted += lease.grants[namespace].granted
    assert 600 <= granted <= 601 + since(began)
    assert lease.grants[namespace].wait_s > 0
    assert lease.doors >= 2


async def test_all_asks_of_a_call_are_answered(lender: Lender, limit: Limit) -> None:
    names = [uuid.uuid4().hex for _ in range(50)]
    asks = {name: Ask(number) for number, name in enumerate(names)}
    lease = await lender.lease("door", asks, limit)
    assert {name: grant.granted for name, grant in lease.grants.items()} == {
        name: number for number, name in enumerate(names)
    }
    assert (await lender.lease("door", {}, limit)).grants == {}


async def test_what_is_owed_is_paid_and_what_is_returned_is_there_again(
    lender: Lender, limit: Limit, namespace: str
) -> None:
    began = time.monotonic()
    await lender.lease("a", {namespace: Ask(600)}, limit)
    owing = await lender.lease("a", {namespace: Ask(50, 50)}, limit)
    assert owing.grants[namespace].granted == 50
    assert -50 <= owing.grants[namespace].level < -49 + since(began)
    back = await lender.lease("a", {namespace: Ask(0, 0, 150)}, limit)
    assert 100 <= back.grants[namespace].level < 101 + since(began)


async def test_it_says_who_answers_and_goes_by_what_others_said_before(
    lender: Lender, limit: Limit, namespace: str
) -> None:
    first = await lender.lease("a", {namespace: Ask(10, 0, 0, 100.0, "others")}, limit)
    assert first.budgets
    assert 90 <= first.grants[namespace].level <= 95
    again = await lender.lease("a", {namespace: Ask(10, 0, 0, 0.0, first.budgets)}, limit)
    assert again.budgets == first.budgets
    assert again.grants[namespace].granted == 10
