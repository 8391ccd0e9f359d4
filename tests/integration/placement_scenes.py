"""What entities do in either placement, as a driver sees it: `test_placement.py` runs this and asks for scenes.

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
from typing import Any

import ray

import flux_actors as flux
from flux_actors.domain.acting.faults import fault_id
from flux_actors.errors import AskTimedOut, NotAskable, Refused

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
            entity.emit(f"begun/{entity.id}", {"pid": os.getpid()})
            await asyncio.sleep(change.properties["sleep_s"])
        entity.emit(f"seen/{entity.id}", {f"n{change.properties.get('n')}": self.handled})

    def on_tell(self, entity: Any, message: Any) -> None:
        if "remind_s" in message:
            entity.remind("later", after_s=message["remind_s"])
            entity.set({"from": time.time()})
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
        (row,) = flux.actors.find(self.id)
        return row

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
    stage.entity.tell({"remind_s": 0.5})
    until(lambda: stage.row().reminders == 1, "the reminder to be shown")
    until(lambda: stage.state(stage.id).get("times"), "the reminder")
    state = stage.ask()["state"]
    assert (state["reminded"], state["times"]) == ("later", 1)
    assert 0.5 <= state["at"] - state["from"] <= 0.5 + LATE_S, state["at"] - state["from"]
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
    try:
        stage.ask()
    except NotAskable as error:
        assert "told to fail" in error.message
    else:
        raise AssertionError("a stopped entity answers")
    assert (stage.row().state, stage.row().faults) == ("stopped", 2)
    flux.actors.restart(stage.id)
    assert stage.ask()["handled"] == 1
    assert stage.row().state == "idle"


def stopping(stage: Stage) -> None:
    stage.publish(n=1)
    until(lambda: stage.seen == {"n1": 1}, "the effect")
    flux.actors.stop(stage.id)
    assert (stage.row().state, stage.row().fault) == ("stopped", "stopped by an operator")
    try:
        stage.ask()
    except NotAskable as error:
        assert "stopped by an operator" in error.message
    else:
        raise AssertionError("a stopped entity answers")
    stage.publish(n=2)
    flux.actors.restart(stage.id)
    stage.publish(n=3)
    until(lambda: "n3" in stage.seen, "the effect")
    assert stage.seen == {"n1": 1, "n3": 1}
    assert stage.entity.state() == {"n": 3}


def killing(stage: Stage) -> None:
    assert [stage.ask()["handled"], stage.ask()["handled"]] == [1, 2]
    flux.actors.kill(stage.id)
    assert stage.ask()["handled"] == 1
    assert stage.row().faults == 0


def long_work(stage: Stage) -> None:
    other = Stage(stage.fx, f"{stage.id}-other")
    other.ask()
    stage.publish(sleep_s=60)
    until(lambda: stage.state(f"begun/{stage.id}"), "the work to begin")
    begun_s = time.monotonic()
    other.publish(n=1)
    other.ask()
    assert time.monotonic() - begun_s < DEADLINE_S
    row = stage.row()
    assert (row.state, row.messages) == ("running", 1)
    flux.actors.stop(stage.id)


def shown(stage: Stage) -> None:
    stage.ask()
    row = stage.row()
    assert (row.entity, row.state, row.messages, row.fault) == (stage.id, "idle", 0, "")
    assert row.placement == stage.id.partition("/")[0]
    assert row.node == ray.nodes()[0]["NodeID"]


def named(stage: Stage) -> None:
    assert stage.named() is None
    assert (pid := stage.ask()["pid"]) > 0
    assert ray.get(stage.named().facts.remote())[0] == pid


def killed_from_outside(stage: Stage) -> None:
    stage.publish(n=1)
    stage.publish(sleep_s=1)
    pid = until(lambda: stage.state(f"begun/{stage.id}").get("pid"), "the work to begin")
    os.kill(pid, signal.SIGKILL)
    until(lambda: "nNone" in stage.seen, "the message to be handled again")
    answer = stage.ask()
    assert answer["pid"] != pid
    assert answer["state"] == {"n": 1, "sleep_s": 1}
    assert stage.seen == {"n1": 1, "nNone": 1}
    assert stage.row().fault.startswith("lost: ")


def passivation(stage: Stage) -> None:
    pids = []
    for number, wake in enumerate((stage.ask, lambda: stage.publish(n=1), stage.ask)):
        wake()
        pids.append(ray.get(until(stage.named, f"wake {number}").facts.remote())[0])
        until(lambda: stage.named() is None, f"sleep {number}")
        with suppress(ProcessLookupError):
            os.kill(pids[-1], 0)
            until(lambda: not os.path.exists(f"/proc/{pids[-1]}"), "the process to end")
    assert len(set(pids)) == 3
    stage.entity.tell({"remind_s": 3})
    until(lambda: stage.row().reminders == 1, "the reminder")
    until(lambda: stage.named() is None, "sleep before the reminder")
    until(lambda: stage.state(stage.id).get("times") == 1, "the reminder")


def no_room(stage: Stage) -> None:
    stage.publish(n=1)
    for _ in range(2):
        try:
            stage.ask(deadline_s=5)
        except AskTimedOut as error:
            assert "asks for CPU 1000, and no node of this Ray cluster has that" in error.message, (
                error.message
            )
        else:
            raise AssertionError("there is room")
    row = stage.row()
    assert (row.state, row.messages) == ("waiting", 1)
    assert "CPU 1000" in row.fault
    assert stage.ask("hosted/beside-greedy", 5)["handled"] == 1


def pinning(stage: Stage) -> None:
    pid, (node,) = stage.ask()["pid"], ray.nodes()
    flux.actors.pin(stage.id, node["NodeID"][:12])
    until(lambda: stage.row().pinned and stage.row().node == node["NodeID"], "the actor to be there")
    until(lambda: not os.path.exists(f"/proc/{pid}"), "the process to end where it was")
    assert stage.ask()["handled"] == 1
    flux.actors.unpin(stage.id)
    until(lambda: not stage.row().pinned, "the pin to be gone")
    for entity_id, node_id, told in (
        (stage.id, "ffff", node["NodeID"]),
        ("hosted/one", node["NodeID"], "hosted in its shard"),
        ("nobody/here", node["NodeID"], "has no behaviour"),
    ):
        try:
            flux.actors.pin(entity_id, node_id)
        except Refused as error:
            assert told in error.message
        else:
            raise AssertionError(f"{entity_id} is pinned")


def shard_dies(stage: Stage) -> None:
    stage.publish(n=1)
    before = stage.ask()
    status = ray.get(ray.get_actor("flux-router", namespace="flux").status.remote())
    (shard,) = status["shards"]
    os.kill(ray.get(ray.get_actor(shard, namespace="flux").pid.remote()), signal.SIGKILL)
    began_s = time.monotonic()
    stage.publish(n=2)
    until(lambda: "n2" in stage.seen, "the successor to handle it", 30)
    print("successor took", time.monotonic() - began_s, file=sys.stderr)
    after = stage.ask()
    assert after["pid"] != before["pid"]
    assert stage.seen == {"n1": 1, "n2": 1}
    assert ray.get(stage.named().facts.remote())[0] == after["pid"]


def main() -> None:
    for made in (Hosted, OwnOf, Sleepy, Greedy):
        flux.deploy(made)
    fx = flux.connect()
    print(ANSWER, flush=True)
    for line in sys.stdin:
        scene, placement = line.split()
        fault = ""
        try:
            globals()[scene](Stage(fx, f"{placement}/{scene}"))
        except BaseException:  # noqa: BLE001 - told to the test
            fault = traceback.format_exc()
        print(ANSWER + repr(fault), flush=True)


if __name__ == "__main__":
    main()
