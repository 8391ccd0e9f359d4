"""Run simulated histories, or one of them again with all that happened in it.

    python -m tests.simulation                        1,000 seeds from 0
    python -m tests.simulation --start 5000 --seeds 200
    python -m tests.simulation --minutes 10           as many as go into the time
    python -m tests.simulation --replay 4711          one, told line by line

Exits with 1 when something was wrong in any of them. What was found is told with its seed.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from typing import Final

from tests.simulation.history import Outcome, run

_PROGRESS_S: Final = 5.0
_AHEAD: Final = 8  # histories that are handed to each process before those before them are done


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__.split("\n")[0])
    parser.add_argument("--start", type=int, default=0, metavar="SEED", help="the first seed")
    parser.add_argument(
        "--seeds", type=int, default=None, metavar="N", help="how many; 1000 if nothing is said"
    )
    parser.add_argument("--minutes", type=float, default=None, help="as many as go into the time")
    parser.add_argument(
        "--replay", type=int, default=None, metavar="SEED", help="one seed, told line by line"
    )
    parser.add_argument(
        "--jobs",
        type=_positive,
        default=os.cpu_count() or 1,
        metavar="N",
        help="in so many processes; one per core",
    )
    asked = parser.parse_args(arguments)
    if asked.replay is not None:
        return _replay(asked.replay)
    seeds = asked.seeds if asked.seeds is not None or asked.minutes is not None else 1_000
    return _run_many(asked.start, seeds, None if asked.minutes is None else asked.minutes * 60, asked.jobs)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{number} is not a positive number")
    return number


def _run_many(start: int, seeds: int | None, seconds: float | None, jobs: int) -> int:
    began = told_at = time.perf_counter()
    count = steps = acked = 0
    simulated_s = 0.0
    failed: list[Outcome] = []
    for outcome in _outcomes(_seeds(start, seeds, seconds), jobs):
        count += 1
        steps += outcome.steps
        acked += outcome.acked
        simulated_s += outcome.seconds
        if outcome.wrong:
            failed.append(outcome)
            print(f"seed {outcome.seed}: {outcome.wrong[0]}", flush=True)
        now = time.perf_counter()
        if now - told_at >= _PROGRESS_S:
            told_at = now
            rate = 60 * count / (now - began)
            print(f"{count} seeds, {len(failed)} failed, {rate:.0f} a minute", flush=True)
    took_s, took_cpu_s = time.perf_counter() - began, sum(os.times()[:4])
    print(
        f"{count} seeds in {took_s:.1f} s: {60 * count / took_s:.0f} a minute, "
        f"{60 * count / took_cpu_s:.0f} of a whole core; {steps} steps, "
        f"{simulated_s / 3600:.1f} simulated hours, {acked} events acknowledged; {len(failed)} failed"
    )
    if failed:
        print("failed:", *sorted(outcome.seed for outcome in failed))
    return int(bool(failed))


def _seeds(start: int, seeds: int | None, seconds: float | None) -> Iterator[int]:
    began = time.perf_counter()
    for seed in itertools.count(start) if seeds is None else range(start, start + seeds):
        if seconds is not None and time.perf_counter() - began >= seconds:
            return
        yield seed


def _outcomes(seeds: Iterable[int], jobs: int) -> Iterator[Outcome]:
    """Run histories in several processes, for they have nothing to do with each other."""
    with ProcessPoolExecutor(jobs) as pool:
        under_way: deque[Future[Outcome]] = deque()
        for seed in seeds:
            under_way.append(pool.submit(_brief, seed))
            if len(under_way) >= jobs * _AHEAD:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _brief(seed: int) -> Outcome:
    """Run a history, without the notes that only a replay tells."""
    return run(seed)._replace(notes=[])


def _replay(seed: int) -> int:
    outcome = run(seed)
    for noted in outcome.notes:
        facts = " ".join(f"{name}={value}" for name, value in noted.facts.items())
        print(f"{noted.at_s:10.4f}  {noted.who:12} {noted.what:24} {facts}")
    for text in outcome.wrong:
        print(f"WRONG: {text}")
    print(f"seed {seed}: {outcome.steps} steps, {outcome.seconds:.3f} s, digest {outcome.digest}")
    return int(bool(outcome.wrong))


if __name__ == "__main__":
    sys.exit(main())
