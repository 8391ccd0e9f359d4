"""What entities do in either placement, as a driver sees it: `test_placement.py` runs it and asks for scenes.

Each line that comes in names a scene and a placement; each answer is a line with its fault, empty for none.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray.exceptions import RayActorError

import flux_actors as flux
from flux_actors.domain.acting.faults import fault_id
from flux_actors.errors import AskTimedOut, FluxError, NotAskable, Refused
from tests.busy import busy

ANSWER = "scene: "
DEADLINE_S = 20.0
LATE_S = 1.0  # a reminder may be


class Hosted(flux.Behaviour):
    match = "hosted/*"
    supervision = flux.Supervision(retries=1, backoff_s=0.05)

    def __init__(self) -> None:
        self.handled = 0

    async def on_change(self, entity: Any, change: Any) -> None:
        self.handled += 1
        if "fail" in change.properties:
            raise ValueError("told to fail")
        if "sleep_s" in change.properties:
            await asyncio.sleep(change.properties["sleep_s"])
        entity.emit(f"seen/{entity.id}", {f"n{change.properties.get('n')}": self.handled})

    def on_tell(self, entity: Any, message: Any) -> None:
        if "remind_s" in message:
            entity.set({"from": time.time()})
            entity.remind("later", after_s=message["remind_s"])
        else:
            entity.emit(f"seen/{entity.id}", message)

    def on_reminder(self, entity: Any, name: str) -> None:
        times = (entity.state or {}).get("times", 0) + 1
        entity.set({"reminded": name, "at": time.time(), "times": times})

    def on_ask(self, entity: Any, message: Any) -> Any:
        self.handled += 1
        return {"state": dict(entity.state or {}), "handled": self.handled, "pid": os.getpid()}


class OwnOf(Hosted):
    """The same, each in a process of its own."""

    match = "dedicated/*"
    placement = flux.Dedicated(num_cpus=0)


class Sleepy(Hosted):
    """One that goes to sleep soon."""

    match = "sleepy/*"
    placement = flux.Dedicated(num_cpus=0, idle_s=0.5)


class Greedy(Hosted):
    """One for which there is no room."""

    match = "greedy/*"
    placement = flux.Dedicated(num_cpus=1_000)


class Stage:
    """The user and the entity of a scene."""

    def __init__(self, fx: flux.Flux, entity_id: str) -> None:
        self.fx = fx
        self.id = entity_id
        self.entity = fx.entity(entity_id)

    @property
    def seen(self) -> dict[str, Any]:
        return self.state(f"seen/{self.id}")

    def state(self, entity_id: str) -> dict[str, Any]:
        return self.fx.entity(entity_id).state() or {}

    def publish(self, **properties: Any) -> None:
        self.fx.publish(self.id, properties)

    def ask(self, entity_id: str | None = None, deadline_s: float = DEADLINE_S) -> Any:
        return self.fx.entity(entity_id or self.id).ask({}, deadline_s=deadline_s)

    def row(self) -> flux.actors.ActorRow:
        return next(row for row in flux.actors.find(self.id) if row.entity == self.id)

    def named(self) -> Any:
        """Return the actor that Ray knows by the entity's name, `None` for none."""
        with suppress(ValueError):
            return ray.get_actor(f"flux-actor:{self.id}", namespace="flux")
        return None


def until(condition: Callable[[], Any], what: str, deadline_s: float = DEADLINE_S) -> Any:
    end_s = time.monotonic() + deadline_s
    while time.monotonic() < end_s:
        found = condition()
        if found:
            return found
        time.sleep(0.02)
    raise AssertionError(f"waited {deadline_s:g} s in vain for {what}")


def refusal(kind: type[FluxError], call: Callable[[], object]) -> str:
    """Return what a call is refused with."""
    try:
        call()
    except kind as error:
        return error.message
    raise AssertionError(f"no {kind.__name__} was raised")


def effects(stage: Stage) -> None:
    stage.publish(n=1)
    until(lambda: stage.seen == {"n1": 1}, "the effect")


def order(stage: Stage) -> None:
    for n in range(30):
        stage.publish(n=n)
    until(lambda: len(stage.seen) == 30, "all effects")
    assert stage.seen == {f"n{n}": n + 1 for n in range(30)}


def ask(stage: Stage) -> None:
    stage.publish(n=7)
    assert stage.ask()["state"] == {"n": 7}
    assert stage.seen == {"n7": 1}  # an answer comes behind all messages, and reads see what they caused


def tell(stage: Stage) -> None:
    stage.entity.tell({"told": True})
    until(lambda: stage.seen == {"told": True}, "what was told")
    assert stage.entity.state() is None


def reminder(stage: Stage) -> None:
    stage.ask()  # so that the process of its own is there
    stage.entity.tell({"remind_s": 3})
    until(lambda: stage.row().reminders == 1, "the reminder to be shown")
    until(lambda: stage.state(stage.id).get("times"), "the reminder")
    state = stage.ask()["state"]
    assert (state["reminded"], state["times"]) == ("later", 1)
    assert 3 <= state["at"] - state["from"] <= 3 + LATE_S * busy(), state["at"] - state["from"]
    assert stage.row().reminders == 0


def faults(stage: Stage) -> None:
    other = Stage(stage.fx, f"{stage.id}-other")
    stage.publish(fail=True)
    mark = fault_id(stage.id)
    fault = until(lambda: (found := stage.state(mark)).get("state") == "stopped" and found, "the mark")
    assert (fault["kind"], fault["count"]) == ("raised", 2)
    assert "told to fail" in fault["error"]
    assert stage.entity.state() == {"fail": True}
    assert other.ask()["handled"] == 1
    assert "told to fail" in refusal(NotAskable, stage.ask)
    assert (stage.row().state, stage.row().faults) == ("stopped", 2)
    flux.actors.restart(stage.id)
    assert stage.ask()["handled"] == 1
    assert stage.row().state == "idle"


def stopping(stage: Stage) -> None:
    stage.publish(n=1)
    until(lambda: stage.seen == {"n1": 1}, "the effect")
    flux.actors.stop(stage.id)
    assert (stage.row().state, stage.row().fault) == ("stopped", "stopped by an operator")
    assert "stopped by an operator" in refusal(NotAskable, stage.ask)
    stage.publish(n=2)
    flux.actors.restart(stage.id)
    stage.publish(n=3)
    until(lambda: "n3" in stage.seen, "the effect")
    assert stage.seen == {"n1": 1, "n3": 1}
    assert stage.entity.state() == {"n": 3}


def killing(stage: Stage) -> None:
    assert [stage.ask()["handled"], stage.ask()["handled"]] == [1, 2]
    flux.actors.kill(stage.id)
    stage.publish(n=1)
    assert stage.ask()["handled"] == 2
    assert (stage.seen, stage.row().faults) == ({"n1": 1}, 0)


def long_work(stage: Stage) -> None:
    other = Stage(stage.fx, f"{stage.id}-other")
    other.ask()
    stage.publish(sleep_s=60)
    until(lambda: any(row.state == "running" for row in flux.actors.find(stage.id)), "the work to begin")
    begun_s = time.monotonic()
    other.publish(n=1)
    other.ask()
    assert time.monotonic() - begun_s < DEADLINE_S
    row = stage.row()
    assert (row.state, row.messages) == ("running", 1)
    flux.actors.stop(stage.id)


def shown(stage: Stage) -> None:
    stage.publish(n=1)
    stage.ask()
    until(lambda: (stage.row().state, stage.row().messages) == ("idle", 0), "all to be done")
    row = stage.row()
    assert (row.faults, row.fault, row.pinned) == (0, "", False)
    assert row.placement == stage.id.partition("/")[0]
    assert row.node == ray.nodes()[0]["NodeID"]


def named(stage: Stage) -> None:
    assert stage.named() is None
    assert (pid := stage.ask()["pid"]) > 0
    assert ray.get(stage.named().facts.remote())[0] == pid


def killed_from_outside(stage: Stage) -> None:
    stage.publish(n=1)
    pid = stage.ask()["pid"]
    os.kill(pid, signal.SIGKILL)  # while nothing is under way: nobody notices
    until(lambda: not Path(f"/proc/{pid}").exists(), "the process to end")
    again = stage.ask()["pid"]
    assert again != pid
    assert stage.row().faults == 0
    stage.publish(n=2, sleep_s=5)
    until(lambda: any(row.state == "running" for row in flux.actors.find(stage.id)), "the work to begin")
    os.kill(again, signal.SIGKILL)
    until(lambda: "n2" in stage.seen, "the message to be handled again")
    answer = stage.ask()
    assert answer["pid"] not in {pid, again}
    assert answer["state"] == {"n": 2, "sleep_s": 5}
    assert stage.seen == {"n1": 1, "n2": 1}
    assert stage.row().fault.startswith("lost: ")


def woken(stage: Stage, wake: Callable[[], object]) -> int:
    """Wake an actor and return its process; on a busy machine it may sleep again before it is asked."""
    for _ in range(5):
        wake()
        with suppress(RayActorError, AssertionError):
            pid: int = ray.get(until(stage.named, "the actor to wake", 5).facts.remote())[0]
            return pid
    raise AssertionError("the actor sleeps whenever it is asked")


def passivation(stage: Stage) -> None:
    pids = []
    for number, wake in enumerate((stage.ask, lambda: stage.publish(n=1), stage.ask)):
        pids.append(woken(stage, wake))
        until(lambda: stage.named() is None, f"sleep {number}")
        until(lambda: not Path(f"/proc/{pids[-1]}").exists(), "the process to end")
    assert len(set(pids)) == 3
    stage.entity.tell({"remind_s": 6})
    until(lambda: stage.row().reminders == 1, "the reminder")
    until(lambda: stage.named() is None, "sleep before the reminder")
    until(lambda: stage.state(stage.id).get("times") == 1, "the reminder")


def no_room(stage: Stage) -> None:
    stage.publish(n=1)
    for _ in range(2):
        told = refusal(AskTimedOut, lambda: stage.ask(deadline_s=6))
        assert "asks for CPU 1000, and no node of this Ray cluster has that" in told, told
    until(lambda: (stage.row().state, stage.row().messages) == ("waiting", 1), "nothing but the message")
    assert "CPU 1000" in stage.row().fault
    assert stage.ask("hosted/beside-greedy")["handled"] == 1


def pinning(stage: Stage) -> None:
    stage.publish(n=1)
    pid, (node,) = stage.ask()["pid"], ray.nodes()
    flux.actors.pin(stage.id, node["NodeID"][:12])
    until(lambda: stage.row().pinned and stage.row().node == node["NodeID"], "the actor to be there")
    until(lambda: not Path(f"/proc/{pid}").exists(), "the process to end where it was")
    assert stage.ask()["handled"] == 1
    flux.actors.unpin(stage.id)
    until(lambda: not stage.row().pinned, "the pin to be gone")
    known = node["NodeID"]
    assert known in refusal(Refused, lambda: flux.actors.pin(stage.id, "ffff"))
    assert "hosted in its shard" in refusal(Refused, lambda: flux.actors.pin("hosted/one", known))
    assert "has no behaviour" in refusal(Refused, lambda: flux.actors.pin("nobody/here", known))


def shard_dies(stage: Stage) -> None:
    stage.publish(n=1)
    before = stage.ask()
    status = ray.get(ray.get_actor("flux-router", namespace="flux").status.remote())
    (shard,) = status["shards"]
    os.kill(ray.get(ray.get_actor(shard, namespace="flux").pid.remote()), signal.SIGKILL)
    stage.publish(n=2)
    until(lambda: "n2" in stage.seen, "the successor to handle it", 30)
    after = stage.ask()
    assert after["pid"] != before["pid"]
    assert stage.seen == {"n1": 1, "n2": 1}
    assert ray.get(stage.named().facts.remote())[0] == after["pid"]


def moving(stage: Stage) -> None:
    """There are two nodes now."""
    stage.publish(n=1)
    stage.ask()  # it is at one of them
    nodes = {"node:__internal_head__" in node["Resources"]: node["NodeID"] for node in ray.nodes()}
    home, other = nodes[True], nodes[False]
    for number, node in enumerate((home, other), 2):
        flux.actors.pin(stage.id, node)
        until(lambda node=node: stage.row().node == node, "the actor to be there")
        stage.publish(n=number)
        assert stage.ask()["state"] == {"n": number}
        assert stage.row().node == node
    assert stage.seen["n3"] == 1  # a fresh instance, there


def node_gone(stage: Stage) -> None:
    """The other node, to which the entity of the scene before is pinned, has ended."""
    stage = Stage(stage.fx, stage.id.replace("node_gone", "moving"))
    until(lambda: sum(node["Alive"] for node in ray.nodes()) == 1, "Ray to know that it is gone", 60)
    stage.publish(n=5)
    told = refusal(AskTimedOut, lambda: stage.ask(deadline_s=8))
    assert "which is gone" in told, told
    assert stage.ask("hosted/beside-gone")["handled"] == 1
    flux.actors.unpin(stage.id)
    until(lambda: "n5" in stage.seen, "what waited to be handled elsewhere")
    assert stage.ask()["state"] == {"n": 5}


def main() -> None:
    for made in (Hosted, OwnOf, Sleepy, Greedy):
        flux.deploy(made)
    fx = flux.connect()
    sys.stdout.write(f"{ANSWER}\n")
    sys.stdout.flush()
    for line in sys.stdin:
        scene, placement = line.split()
        fault = ""
        try:
            globals()[scene](Stage(fx, f"{placement}/{scene}"))
        except BaseException:  # noqa: BLE001 - told to the test
            fault = traceback.format_exc()
        sys.stdout.write(f"{ANSWER}{fault!r}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
