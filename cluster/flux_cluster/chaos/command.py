"""What `flux chaos` does, apart from reading its options."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

from flux_actors.errors import Refused
from flux_actors.logs import set_up_logs
from flux_actors.reporting import Say
from flux_cluster.chaos.playing import Outcome, Play
from flux_cluster.chaos.registry import fault_of
from flux_cluster.chaos.scenario import Scenario, read_scenario, read_scenarios
from flux_cluster.chaos.world import World

_SHIPPED: Final = Path(__file__).with_name("scenarios")
_IN_THE_REPO: Final = Path(__file__).parents[3] / "tests" / "chaos" / "scenarios"
_SEED_BITS: Final = 31
_ENDING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_INTERRUPTED: Final = 130  # what a shell says of a program that was ended by Ctrl-C


@dataclass(frozen=True, slots=True)
class Wanted:
    """What was asked for on the command line."""

    scenarios: tuple[str, ...] = ()  # names or files; none are all
    seed: int | None = None
    minutes: float | None = None  # play them again and again, with other seeds


def list_scenarios(say: Say) -> None:
    """Say what each scenario does."""
    for scenario in read_scenarios(folder()):
        say(f"{scenario.name:24} {scenario.about}")


def run(wanted: Wanted, say: Say, say_aside: Say) -> int:
    """Play scenarios in a world of their own, and return the exit code.

    Raises:
        Refused: a scenario is not there, or does not fit. Unavailable: the world does not come up.
    """
    scenarios = chosen(wanted.scenarios)
    seed = secrets.randbits(_SEED_BITS) if wanted.seed is None else wanted.seed
    os.umask(0o077)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123 - what clients log while their Flux is broken
        set_up_logs(nowhere)
        with suppress(asyncio.CancelledError):
            return asyncio.run(_run(rounds(scenarios, seed, wanted.minutes), say, say_aside))
    say_aside("ended before all was played; nothing of it is left")
    return _INTERRUPTED


async def _run(played: Iterator[tuple[Scenario, int]], say: Say, say_aside: Say) -> int:
    _end_on_signals()
    world = World(say_aside)
    try:
        await world.start()
        for scenario, seed in played:
            say_aside(f"{scenario.name}, seed {seed}: {scenario.about}")
            outcome = await Play(world, scenario, seed, say_aside).run()
            for line in report(outcome):
                say(line)
            if outcome.faults:
                return 1
        return 0
    finally:
        await world.stop()


def _end_on_signals() -> None:
    """Have each signal that asks for an end cancel this task, once: it clears away then."""
    task = asyncio.current_task()

    def end() -> None:
        if task is not None and not task.cancelling():
            task.cancel()

    for number in _ENDING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # as `nohup` has it
            asyncio.get_running_loop().add_signal_handler(number, end)


def rounds(scenarios: Sequence[Scenario], seed: int, minutes: float | None) -> Iterator[tuple[Scenario, int]]:
    """Yield each scenario with the seed; if there is a time, again with the next seed until it is over."""
    end_s = time.monotonic() + 60 * (minutes or 0)
    for number in count():
        for scenario in scenarios:
            yield scenario, seed + number
            if minutes is not None and time.monotonic() > end_s:
                return
        if minutes is None:
            return


def report(outcome: Outcome) -> Iterator[str]:
    """Yield the line that tells what came of a scenario, and, if it failed, why and how to see it again."""
    held = "all checks hold" if not outcome.faults else f"{len(outcome.faults)} checks FAILED"
    yield (
        f"{outcome.scenario} seed {outcome.seed}: {outcome.acked} events acked, "
        f"{len(outcome.injected)} faults injected, longest outage {outcome.write_outage_s:.1f} s of "
        f"publishes and {outcome.read_outage_s:.1f} s of lists, at rest {outcome.rest_s:.1f} s after; {held}"
    )
    if outcome.faults:
        yield from (f"  {fault}" for fault in outcome.faults)
        yield f"  again: flux chaos {outcome.called} --seed {outcome.seed}"


def chosen(names: Sequence[str]) -> list[Scenario]:
    """Return the scenarios of some names or files, all for none; their faults are ones that there are.

    Raises:
        Refused: one is not there, or does not fit.
    """
    known = {path.stem: path for path in sorted(folder().glob("*.toml"))}
    found = []
    for name in names or known:
        path = Path(name) if name.endswith(".toml") else known.get(name)
        if path is None:
            raise Refused(f"there is no scenario {name}; there are {', '.join(known)}")
        found.append(read_scenario(path, called=name))
    for scenario in found:
        for injection in scenario.faults:
            fault_of(injection)
    return found


def folder() -> Path:
    """Return where the scenarios are: beside this file where Flux is installed, else with its tests."""
    return _SHIPPED if _SHIPPED.is_dir() else _IN_THE_REPO
