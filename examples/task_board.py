"""A fleet of agents that share a board of tasks, while some of them are killed.

    python examples/task_board.py
    python examples/task_board.py --agents 8 --tasks 200 --kills 3

Each agent is a Ray actor. It looks for a task that is open, takes the claim on it, works, and writes the
result. Every now and then an agent that is at work is killed. Its claim runs out, and another agent takes the
task over; the agent itself is started anew by Ray.

Each task is done exactly once. A claim alone could not say so: an agent may be slow, lose its claim, and wake
up. So a result is written on condition that the task stands where the agent saw its own claim on it
(`if_match`), and counts up how often the task was completed. A task that was done twice would have a 2.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections import Counter
from typing import Any, Final

import flux_actors as flux
from flux_actors.errors import AlreadyClaimed, FluxError, Refused, Unavailable

Tasks = dict[str, dict[str, Any]]
_LOOK_S: Final = 0.1


class Agent:
    """Does tasks of a board until all are done.

    Arguments:
        board: the namespace of the tasks.
        name: its own.
        ttl_s: after so many seconds its claim is free when it has died.
        work_s: about how long it works on a task.
    """

    def __init__(self, board: str, name: str, ttl_s: float, work_s: float) -> None:
        self.name = f"{name}/{os.getpid()}"  # who was started anew is somebody else
        self._ttl_s = ttl_s
        self._work_s = work_s
        self._chance = random.Random(self.name)
        self._fx = flux.connect(source=self.name)
        self._tasks = self._fx.live(f"{board}/")

    def ready(self) -> str:
        """Return its name once it can begin."""
        return self.name

    def run(self) -> None:
        """Return when all tasks are done."""
        open_ones = list(self._tasks)
        while open_ones:
            self._chance.shuffle(open_ones)
            for task in open_ones:
                if not is_done(self._tasks[task]) and not claim_on(self._tasks[task]):
                    self._try(task)
            open_ones = [task for task in open_ones if not is_done(self._tasks[task])]
            time.sleep(_LOOK_S if open_ones else 0)

    def _try(self, task: str) -> None:
        """Do a task, unless somebody else is at it."""
        try:
            with self._fx.entity(task).claim(holder=self.name, ttl_s=self._ttl_s) as claimed:
                self._tasks.wait(self._fx.position)  # now our own claim is in what we see
                if not is_done(self._tasks[task]):
                    self._complete(claimed, self._work(self._tasks[task]["number"]))
        except (AlreadyClaimed, Unavailable):
            pass  # it is looked at again as long as it is open

    def _work(self, number: int) -> int:
        """Stand for what an agent does: takes a while, and gives a result that can be checked."""
        time.sleep(self._chance.uniform(0.5, 1.5) * self._work_s)
        return result_of(number)

    def _complete(self, claimed: flux.Claimed, result: int) -> None:
        """Write a result if the claim is still ours, else nothing."""
        task = claimed.entity_id
        while not claimed.lost:
            position = self._tasks.position_of(task)
            seen = self._tasks[task]  # as it was there, or later
            if is_done(seen) or claim_on(seen).get("token") != claimed.token:
                return
            done = {"result": result, "by": self.name, "completions": seen["completions"] + 1}
            try:
                self._fx.publish(task, done, if_match=position)
            except Refused as refused:
                if refused.status != 412:
                    raise
                # The claim was renewed meanwhile, or somebody else has it: what we see by now tells which.
            else:
                return


def is_done(task: dict[str, Any]) -> bool:
    """Whether a task has a result."""
    return task["result"] is not None


def claim_on(task: dict[str, Any]) -> dict[str, Any]:
    """Return the claim on a task, as Flux shows it; `{}` for none, or one that has ended."""
    return task.get("claim") or {}


def result_of(number: int) -> int:
    """Return what the work on a task gives."""
    return number * number + 1


class Fleet:
    """The agents, as Ray actors."""

    def __init__(self, board: str, agents: int, ttl_s: float, work_s: float) -> None:
        import ray  # noqa: PLC0415 - it reads the environment that `main` has set

        self._ray: Any = ray
        # They come back when they die, and what they were asked to do is done again then.
        actor: Any = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(Agent)
        self.agents = {f"agent-{i}": actor.remote(board, f"agent-{i}", ttl_s, work_s) for i in range(agents)}
        self._ray.get([agent.ready.remote() for agent in self.agents.values()])

    def begin(self) -> None:
        """Have all agents begin."""
        self._running = [agent.run.remote() for agent in self.agents.values()]

    def kill(self, name: str) -> None:
        """Kill an agent's process, as `kill -9` does."""
        self._ray.kill(self.agents[name.partition("/")[0]], no_restart=False)

    def ended(self) -> bool:
        """Whether all agents say that all is done."""
        return not self._ray.wait(self._running, num_returns=len(self._running), timeout=0)[1]

    def close(self) -> None:
        """End all agents."""
        for agent in self.agents.values():
            self._ray.kill(agent)


def run(fleet: Fleet, tasks: flux.Live, kills: int, chance: random.Random, timeout_s: float) -> list[str]:
    """Look on until all is done and kill agents that are at work; return their names.

    Raises:
        TimeoutError: it was not done in time.
    """
    fleet.begin()
    killed: list[str] = []
    deadline = time.monotonic() + timeout_s
    told = 0
    while not fleet.ended():
        if time.monotonic() > deadline:
            raise TimeoutError(f"not all was done in {timeout_s:g} s")
        now = tasks.snapshot().values()
        done = sum(map(is_done, now))
        if len(killed) < kills and done * (kills + 1) >= len(now) * (len(killed) + 1):
            at_work = {claim_on(one)["holder"] for one in now if claim_on(one) and not is_done(one)}
            victims = sorted(at_work.difference(killed))
            if victims:
                killed.append(chance.choice(victims))
                fleet.kill(killed[-1])
                print(f"{done:5} done; killed {killed[-1]}", flush=True)
        if done * 10 // len(now) > told:
            told = done * 10 // len(now)
            print(f"{done:5} done", flush=True)
        time.sleep(_LOOK_S / 2)
    return killed


def check(tasks: Tasks) -> bool:
    """Say what became of the tasks; return whether each was done once, and rightly."""
    undone = [task for task, found in tasks.items() if not is_done(found)]
    often = [task for task, found in tasks.items() if found["completions"] > 1]
    wrong = [task for task, found in tasks.items() if found["result"] != result_of(found["number"])]
    shares = Counter(found["by"] for found in tasks.values() if is_done(found))
    print(
        f"{len(shares)} processes did {shares.total()} tasks, at most {max(shares.values(), default=0)} each"
    )
    print(f"not done: {len(undone)}, done more than once: {len(often)}, wrong: {len(wrong)}")
    return not (undone or often or wrong)


def main() -> int:
    """Have a board of tasks done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--board", default="board", help="the namespace of the tasks (%(default)s)")
    parser.add_argument("--agents", type=int, default=50, help="%(default)s")
    parser.add_argument("--tasks", type=int, default=2_000, help="%(default)s")
    parser.add_argument("--kills", type=int, default=10, help="agents that are killed at work (%(default)s)")
    parser.add_argument("--work-s", type=float, default=0.05, help="on a task, about (%(default)s)")
    parser.add_argument("--ttl-s", type=float, default=3.0, help="of a claim (%(default)s)")
    parser.add_argument("--seed", type=int, default=7, help="of who is killed (%(default)s)")
    parser.add_argument("--timeout-s", type=float, default=300, help="for all of it (%(default)s)")
    given = parser.parse_args()
    os.environ.setdefault(
        "RAY_LOG_TO_DRIVER", "0"
    )  # it warns of each few processes, and of each that is killed
    try:
        return 0 if have_done(given) else 1
    except (FluxError, TimeoutError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def have_done(given: argparse.Namespace) -> bool:
    """Put up the tasks, have them done, and return whether all went well."""
    fx = flux.connect(source="board")
    names = [f"{given.board}/task-{number:05}" for number in range(given.tasks)]
    fresh = {"result": None, "by": None, "completions": 0}
    fx.publish_many((name, {"number": number, **fresh}) for number, name in enumerate(names))
    began = time.monotonic()
    fleet = Fleet(given.board, given.agents, given.ttl_s, given.work_s)
    print(f"{given.agents} agents are ready after {time.monotonic() - began:.1f} s", flush=True)
    try:
        with fx.live(f"{given.board}/") as tasks:
            began = time.monotonic()
            killed = run(fleet, tasks, given.kills, random.Random(given.seed), given.timeout_s)
            took = time.monotonic() - began
            print(f"all is done after {took:.1f} s, though {len(killed)} agents were killed at work")
            return check(tasks.snapshot())
    finally:
        fleet.close()


if __name__ == "__main__":
    sys.exit(main())
