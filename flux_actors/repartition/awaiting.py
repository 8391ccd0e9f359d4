"""Waiting for a running Flux to serve the next generation: until then the one before it is not removed.

That the router has turned to it is not enough: its shards have yet to recover. So all processes are asked
how they are (`log/roll_call.py`), at each site that the topologies name, until shards tell of every partition
that it runs and stands in the range of the generation. Where nobody answers, nothing runs.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable
from typing import Final

from flux_actors import limits
from flux_actors.log.generations import origin_of
from flux_actors.log.ports import Bus, KeyValue
from flux_actors.log.roll_call import RollCall
from flux_actors.log.sites import site_of
from flux_actors.metering import table
from flux_actors.metering.samples import Report
from flux_actors.router.topology import LogRegistry

_SILENT_S: Final = 30.0  # a Flux that is restarted answers again by then


async def is_served(topologies: KeyValue, bus_of: Callable[[str], Bus], after: LogRegistry) -> bool:
    """Return whether every Flux that runs serves a generation, as soon as that is so; or none runs.

    Arguments:
        topologies: those of all sites.
        bus_of: gives the bus of a site.
        after: the generation.
    """
    sites = {site_of(one.key) for one in await topologies.changes(0) if one.value is not None}
    calls = {site: RollCall(bus_of(site), f"repartition-{secrets.token_hex(8)}", list) for site in sites}
    try:
        for call in calls.values():
            await call.open()
        return await _is_served(list(calls.values()), after)
    finally:
        for call in calls.values():
            await call.close()


async def _is_served(calls: list[RollCall], after: LogRegistry) -> bool:
    clock = asyncio.get_running_loop().time
    began_s, served = clock(), dict.fromkeys(range(len(calls)), False)
    heard: set[int] = set()
    while clock() - began_s < limits.repartition_served_s:
        rolls = await asyncio.gather(*(call.call() for call in calls))
        for number, roll in enumerate(rolls):
            if roll.reports:
                heard.add(number)
                served[number] = _serves(roll.reports, after)
        if heard and all(served[number] for number in heard):
            return True
        if not heard and clock() - began_s >= _SILENT_S:
            return True
        await asyncio.sleep(limits.log_look_s)
    return False


def _serves(reports: Iterable[Report], after: LogRegistry) -> bool:
    """Whether shards tell of every partition that it runs, in the range of this generation."""
    found: set[str] = set()
    for report in reports:
        told = {(one.name, *one.labels): one.value for one in report.samples}
        for (name, *labels), value in told.items():
            if name == table.RUNNING.name and value:
                position = told.get((table.POSITION.name, *labels), 0.0)
                if position >= origin_of(after.generation) - 1:
                    found.update(labels)
    return found >= {str(partition) for partition in range(after.partitions)}
