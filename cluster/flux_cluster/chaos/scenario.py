"""A scenario: which load runs, what goes wrong meanwhile, and what must hold. Read from a TOML file.

    about = "A shard is killed, and another takes over its partitions."

    [workload]
    publishers = 3          # each with entities of its own
    seconds = 12            # the load goes on at least so long, and until all faults are healed

    [[fault]]
    what = "shard-kill"     # a name of the registry; what else stands here is that fault's to read
    after_s = [2, 4]        # since the load began, drawn between both by the seed; or one number
    for_s = 0               # until it is healed

    [check]
    write_outage_s = 5      # longest time in which no publish to some partition was acknowledged
    read_outage_s = 5       # the same of lists

All times that are drawn, and all that the load chooses, follow from the scenario and a seed.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from flux_actors.errors import Refused

_OWN: Final = frozenset({"what", "after_s", "for_s", "times"})
_Span = float | tuple[float, float]


class Workload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The load: how many of whom."""

    publishers: int = 3  # of events of entities of their own: singles, batches, atomic batches
    counters: int = 2  # writers who count up the same entities, each on what it has read
    watchers: int = 3
    seconds: float = 12.0
    pause_s: float = 0.02  # of each publisher between two requests


class Check(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The bounds; that nothing is lost, doubled or disordered holds always."""

    write_outage_s: float
    read_outage_s: float
    rest_s: float = 60.0  # until all is as it was, behind the last fault
    verify: bool = True  # fold the log again and compare it with the shards


class Injection(msgspec.Struct, frozen=True):
    """A fault of a scenario; `options` are that fault's own."""

    what: str
    after_s: _Span = 0.0
    for_s: _Span = 0.0
    times: int = 1
    options: dict[str, Any] = msgspec.field(default_factory=dict)


class Scenario(msgspec.Struct, frozen=True):
    """What a file says."""

    name: str
    about: str
    workload: Workload
    faults: tuple[Injection, ...]
    check: Check
    called: str  # what `flux chaos` knows it by: its name, or its file


class Moment(msgspec.Struct, frozen=True):
    """When a fault is injected, in seconds since the load began, and for how long."""

    at_s: float
    for_s: float
    fault: Injection


class _Fault(msgspec.Struct, frozen=True):
    what: str
    after_s: _Span = 0.0
    for_s: _Span = 0.0
    times: int = 1


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    about: str
    check: Check
    fault: list[dict[str, Any]]
    workload: Workload = Workload()


def read_scenario(path: Path, called: str = "") -> Scenario:
    """Return what a file says; `called` is what it is asked for by, its name if nothing is given.

    Raises:
        Refused: it cannot be read, or does not fit; the text says where.
    """
    try:
        told = msgspec.convert(tomllib.loads(path.read_text("utf-8")), _File)
        faults = tuple(_injection(table) for table in told.fault)
    except OSError as error:
        raise Refused(f"the scenario {path} cannot be read ({error.strerror})") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, msgspec.ValidationError) as error:
        raise Refused(f"{path}: {error}") from None
    if not faults:
        raise Refused(f"{path}: a scenario needs a [[fault]]")
    return Scenario(path.stem, told.about, told.workload, faults, told.check, called or path.stem)


def read_scenarios(folder: Path) -> list[Scenario]:
    """Return the scenarios of a folder, by their names."""
    return [read_scenario(path) for path in sorted(folder.glob("*.toml"))]


def moments(faults: Sequence[Injection], chance: random.Random) -> list[Moment]:
    """Return when what is injected, in order; faults of the same time keep that of the file.

    A fault of several `times` comes again as long after it was healed as it came after the beginning.
    """
    found = []
    for fault in faults:
        at_s = 0.0
        for _ in range(fault.times):
            at_s += _drawn(fault.after_s, chance)
            for_s = _drawn(fault.for_s, chance)
            found.append(Moment(round(at_s, 2), round(for_s, 2), fault))
            at_s += for_s
    return sorted(found, key=lambda moment: moment.at_s)


def _injection(table: dict[str, Any]) -> Injection:
    told = msgspec.convert(table, _Fault)
    for name, span in (("after_s", told.after_s), ("for_s", told.for_s)):
        low, high = span if isinstance(span, tuple) else (span, span)
        if not 0 <= low <= high:
            raise msgspec.ValidationError(f"`{name}` of {told.what} is not a time, or two in order")
    options = {name: value for name, value in table.items() if name not in _OWN}
    return Injection(told.what, told.after_s, told.for_s, told.times, options)


def _drawn(span: _Span, chance: random.Random) -> float:
    return chance.uniform(*span) if isinstance(span, tuple) else span
