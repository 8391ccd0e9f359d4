"""This machine as a source of real input: its processor, memory, disks, network and busiest processes.

Two halves. `Machine.read` asks the operating system (psutil) and returns a `Reading`, a value. The rest
are functions of values: `entities_of` says which entities a reading is, and `difference` what must be
published and deleted to get from one such world to the next. So a world that has not changed costs no
event, and what has gone goes from the world as well.
"""

from __future__ import annotations

import os
import time
import unicodedata
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psutil

Properties = dict[str, Any]

_IMAGES: Final = frozenset({"squashfs", "iso9660"})
_NAME_BYTES_MAX: Final = 200  # leaves room for the prefix within the 512 bytes of an entity id


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system."""

    mount: str
    device: str
    file_system: str
    total_bytes: int
    used_bytes: int


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface and what has gone through it since the start."""

    name: str
    up: bool
    speed_megabits: int  # 0 where the system does not know
    received_bytes: int
    sent_bytes: int


@dataclass(frozen=True, slots=True)
class Process:
    """A running process; its arguments are left out, for they may hold secrets."""

    pid: int
    name: str
    status: str
    cpu_percent: float  # of one core
    memory_bytes: int
    threads: int


@dataclass(frozen=True, slots=True)
class Reading:
    """The machine at one moment."""

    at_s: float  # on a clock that only goes forward
    core_percents: tuple[float, ...]
    load: tuple[float, float, float]  # over 1, 5 and 15 minutes
    memory_total_bytes: int
    memory_available_bytes: int
    swap_total_bytes: int
    swap_used_bytes: int
    disks: tuple[Disk, ...]
    interfaces: tuple[Interface, ...]
    processes: tuple[Process, ...]


@dataclass(frozen=True, slots=True)
class Difference:
    """What to publish, property by property, and which entities to delete."""

    changed: dict[str, Properties]
    gone: list[str]

    def __bool__(self) -> bool:
        return bool(self.changed or self.gone)


def entities_of(prefix: str, reading: Reading, earlier: Reading | None = None) -> dict[str, Properties]:
    """Return the entities of a reading under `prefix`; rates are those since the `earlier` one, else 0."""
    entities = {f"{prefix}cpu": _cpu(reading), f"{prefix}memory": _memory(reading)}
    for disk in reading.disks:
        entities[f"{prefix}disk/{_clean(disk.mount).lstrip('/')}"] = _disk(disk)
    before = {interface.name: interface for interface in earlier.interfaces} if earlier else {}
    seconds = reading.at_s - earlier.at_s if earlier else 0.0
    for interface in reading.interfaces:
        properties = _interface(interface, before.get(interface.name), seconds)
        entities[f"{prefix}network/{_clean(interface.name)}"] = properties
    for process in reading.processes:
        entities[f"{prefix}process/{process.pid}"] = _process(process)
    return entities


def difference(before: Mapping[str, Properties], after: Mapping[str, Properties]) -> Difference:
    """Return how to get from one world to the other; a property that ended becomes null."""
    changed = {}
    for entity_id, properties in after.items():
        old = before.get(entity_id, {})
        new = {name: value for name, value in properties.items() if name not in old or old[name] != value}
        ended = {name: None for name, value in old.items() if name not in properties and value is not None}
        if new or ended:
            changed[entity_id] = new | ended
    return Difference(changed, sorted(before.keys() - after.keys()))


class Machine:
    """Reads this machine; the first reading starts the counting, so its processor figures are 0.

    Arguments:
        top: how many of the busiest processes a reading holds.
    """

    def __init__(self, top: int) -> None:
        self._top = top

    def read(self) -> Reading:
        """Ask the operating system; takes some 10 ms with a few hundred processes."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # psutil: figures that a container hides
            memory, swap = psutil.virtual_memory(), psutil.swap_memory()
        return Reading(
            at_s=time.monotonic(),
            core_percents=tuple(psutil.cpu_percent(percpu=True)),
            load=psutil.getloadavg(),
            memory_total_bytes=memory.total,
            memory_available_bytes=memory.available,
            swap_total_bytes=swap.total,
            swap_used_bytes=swap.used,
            disks=tuple(_disks()),
            interfaces=tuple(_interfaces()),
            processes=tuple(sorted(_processes(), key=_busiest_first)[: self._top]),
        )


def _disks() -> Iterator[Disk]:
    """Yield each device once, by its shortest mount point: containers mount one device many times."""
    mounted = [part for part in psutil.disk_partitions() if _is_disk(part.mountpoint, part.fstype)]
    longest_first = sorted(mounted, key=lambda part: len(part.mountpoint), reverse=True)
    devices = {part.device: part for part in longest_first}
    for part in devices.values():
        try:
            usage = psutil.disk_usage(part.mountpoint)
        except OSError:
            continue  # ejected a moment ago, or not ours to read
        yield Disk(part.mountpoint, part.device, part.fstype, usage.total, usage.used)
    if not any(part.mountpoint == "/" for part in devices.values()):
        usage = psutil.disk_usage("/")  # a container's root is on no device that psutil lists
        yield Disk("/", "", "", usage.total, usage.used)


def _is_disk(mount: str, file_system: str) -> bool:
    """Tell disks from single files that a container mounts and from images of packages."""
    # Path.is_dir raises where a folder may not be looked into; os.path.isdir says no.
    return file_system not in _IMAGES and os.path.isdir(mount)  # noqa: PTH112


def _interfaces() -> Iterator[Interface]:
    states = psutil.net_if_stats()
    for name, counters in psutil.net_io_counters(pernic=True).items():
        state = states.get(name)
        yield Interface(
            name,
            up=state.isup if state else False,
            speed_megabits=state.speed if state else 0,
            received_bytes=counters.bytes_recv,
            sent_bytes=counters.bytes_sent,
        )


def _processes() -> Iterator[Process]:
    wanted = ["name", "status", "cpu_percent", "memory_info", "num_threads"]
    for process in psutil.process_iter(wanted):
        facts = process.info  # a fact that we may not know is None
        yield Process(
            process.pid,
            facts["name"] or "",
            facts["status"] or "",
            facts["cpu_percent"] or 0.0,
            facts["memory_info"].rss if facts["memory_info"] else 0,
            facts["num_threads"] or 0,
        )


def _busiest_first(process: Process) -> tuple[float, int, int]:
    return (-process.cpu_percent, -process.memory_bytes, process.pid)


def _cpu(reading: Reading) -> Properties:
    cores = reading.core_percents
    return {
        "percent": _percent(sum(cores), 100.0 * len(cores)),
        "core_percents": [round(core, 1) for core in cores],
        "load_1m": round(reading.load[0], 2),
        "load_5m": round(reading.load[1], 2),
        "load_15m": round(reading.load[2], 2),
    }


def _memory(reading: Reading) -> Properties:
    used = reading.memory_total_bytes - reading.memory_available_bytes
    return {
        "percent": _percent(used, reading.memory_total_bytes),
        "total_bytes": reading.memory_total_bytes,
        "available_bytes": reading.memory_available_bytes,
        "swap_total_bytes": reading.swap_total_bytes,
        "swap_used_bytes": reading.swap_used_bytes,
    }


def _disk(disk: Disk) -> Properties:
    return {
        "percent": _percent(disk.used_bytes, disk.total_bytes),
        "mount": _clean(disk.mount),
        "device": _clean(disk.device),
        "file_system": _clean(disk.file_system),
        "total_bytes": disk.total_bytes,
        "used_bytes": disk.used_bytes,
    }


def _interface(interface: Interface, before: Interface | None, seconds: float) -> Properties:
    received = _rate(interface.received_bytes, before.received_bytes, seconds) if before else 0
    sent = _rate(interface.sent_bytes, before.sent_bytes, seconds) if before else 0
    return {
        "up": interface.up,
        "speed_megabits": interface.speed_megabits,
        "received_bytes": interface.received_bytes,
        "sent_bytes": interface.sent_bytes,
        "received_bytes_per_s": received,
        "sent_bytes_per_s": sent,
    }


def _process(process: Process) -> Properties:
    return {
        "name": _clean(process.name),
        "status": process.status,
        "cpu_percent": round(process.cpu_percent, 1),
        "memory_bytes": process.memory_bytes,
        "threads": process.threads,
    }


def _percent(part: float, whole: float) -> float:
    return round(100.0 * part / whole, 1) if whole else 0.0


def _rate(now: int, before: int, seconds: float) -> int:
    """Return units per second; counters that began anew (an interface came back) count as none."""
    return round((now - before) / seconds) if seconds > 0 and now >= before else 0


def _clean(text: str) -> str:
    """Return a name of the operating system as Flux can take it: valid, short, no control characters."""
    printable = "".join(char for char in text if unicodedata.category(char) not in {"Cc", "Cs"})
    return printable.encode()[:_NAME_BYTES_MAX].decode(errors="ignore")
