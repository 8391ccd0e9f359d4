"""A Ray driver that asks the router of a running Flux: a line of JSON in, one out."""

from __future__ import annotations

import asyncio
import json
import logging
import sys

import ray

from flux_actors import limits
from flux_actors.errors import Unavailable
from flux_actors.router.lender import RouterLender
from flux_actors.router.names import RAY_NAMESPACE
from flux_actors.tenancy.budget import Ask, Limit


async def main(address: str) -> None:
    """Answer until standard input ends."""
    ray.init(address, namespace=RAY_NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
    limits.lease_timeout_s = 20.0  # a door goes on alone after half a second; here the answer is what counts
    lender = RouterLender()
    while line := await asyncio.to_thread(sys.stdin.readline):
        door, asks, limit = json.loads(line)
        try:
            lease = await lender.lease(door, {name: Ask(*ask) for name, ask in asks.items()}, Limit(*limit))
            answer = json.dumps({"grants": lease.grants, "doors": lease.doors, "budgets": lease.budgets})
        except Unavailable as error:
            answer = json.dumps({"unavailable": error.message})
        print(answer, flush=True)  # noqa: T201 - this is how it answers


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
