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
import sys
import time
from collections.abc import Sequence

from tests.simulation.history import Outcome, run

_PROGRESS_S = 5.0


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
    asked = parser.parse_args(arguments)
    if asked.replay is not None:
        return _replay(asked.replay)
    seeds = asked.seeds if asked.seeds is not None or asked.minutes is not None else 1_000
    return _run_many(asked.start, seeds, None if asked.minutes is None else asked.minutes * 60)


def _run_many(start: int, seeds: int | None, seconds: float | None) -> int:
    run(start)  # what is loaded and packed once does not count
    began_cpu_s, began = time.process_time(), time.perf_counter()
    told_at = began
    count = steps = acked = 0
    simulated_s = 0.0
    failed: list[Outcome] = []
    for seed in itertools.count(start):
        now = time.perf_counter()
        if count == seeds or (seconds is not None and now - began >= seconds):
            break
        if now - told_at >= _PROGRESS_S:
            told_at = now
            print(
                f"{count} seeds, {len(failed)} failed, {60 * count / (now - began):.0f} a minute", flush=True
            )
        outcome = run(seed)
        count += 1
        steps += outcome.steps
        acked += outcome.acked
        simulated_s += outcome.seconds
        if outcome.wrong:
            failed.append(outcome)
            print(f"seed {seed}: {outcome.wrong[0]}", flush=True)
    took_s, took_cpu_s = time.perf_counter() - began, time.process_time() - began_cpu_s
    print(
        f"{count} seeds in {took_s:.1f} s: {60 * count / took_s:.0f} a minute, "
        f"{60 * count / took_cpu_s:.0f} of a whole core; {steps} steps, "
        f"{simulated_s / 3600:.1f} simulated hours, {acked} events acknowledged; {len(failed)} failed"
    )
    if failed:
        print("failed:", *(outcome.seed for outcome in failed))
    return int(bool(failed))


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
