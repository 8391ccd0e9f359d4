"""Giving each process a core of its own, as far as there are cores.

Processes are dealt to the cores like cards: doors, then shards, then nats-server, the load generator, and
Ray's processes with the router as one. With fewer cores than those some share, and each point says which:
only then does it follow from the figures what would have been the limit with more.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Final

import psutil

from flux_bench.metering import parts

REST: Final = "Ray and the rest"
GENERATOR: Final = "generator"
_ROUTER: Final = "router"
_ORDER: Final = ("door", "shard", "log", GENERATOR, REST)
_LOOKS: Final = 3  # threads that start meanwhile have the cores of the thread that started them


def deal(numbers: dict[str, int], cores: int) -> list[list[str]]:
    """Return which parts each core has, from the number of processes of each part."""
    cards = [part for part in _ORDER for _ in range(numbers.get(part, 0))]
    return [cards[core::cores] for core in range(cores)]


def usable_cores() -> list[int]:
    """Return the cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def pin(run_id: str, generator: psutil.Process) -> list[list[str]]:
    """Pin all processes of a run and the generator; return which parts each core has."""
    found = parts(run_id)
    rest = found.pop(REST, []) + found.pop(_ROUTER, [])
    hands: list[tuple[str, list[psutil.Process]]] = [
        *((part, [process]) for part in _ORDER for process in found.get(part, [])),
        (GENERATOR, [generator]),
        (REST, rest),
    ]
    cores = usable_cores()
    for number, (_, processes) in enumerate(hands):
        for process in processes:
            pin_process(process, {cores[number % len(cores)]})
    return deal({part: sum(name == part for name, _ in hands) for part in _ORDER}, len(cores))


def pin_process(process: psutil.Process, cores: Iterable[int]) -> None:
    """Pin all threads of a process; one that ends meanwhile needs no core."""
    for _ in range(_LOOKS):
        try:
            threads = process.threads()
        except psutil.NoSuchProcess:
            return
        for thread in threads:
            try:
                os.sched_setaffinity(thread.id, cores)
            except ProcessLookupError:
                continue  # it ended since it was listed
