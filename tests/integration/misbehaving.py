"""Behaviours that do what they must not, and neighbours that live in the same partition and process."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any, Final

import flux_actors as flux

SPACE: Final = "misbehaving"
QUICK: Final = flux.Supervision(retries=1, backoff_s=0.05)
HANDLER_S: Final = 0.5
MEMORY_BYTES: Final = 400_000_000


class Neighbour(flux.Behaviour):
    """Echoes what it is told, and answers."""

    match = f"{SPACE}/good/*"
    bounds = flux.Bounds(memory_bytes=MEMORY_BYTES)

    def on_change(self, entity, change):
        entity.emit(entity.id.replace("/good/", "/echo/"), {"n": change.properties["n"]})

    def on_ask(self, entity, message):
        return message


class Bad(flux.Behaviour):
    """Does what its entity's property `how` says, in a handler."""

    match = f"{SPACE}/bad/*"
    supervision = QUICK
    bounds = flux.Bounds(handler_s=HANDLER_S, memory_bytes=MEMORY_BYTES)

    def on_change(self, entity, change):
        how = change.properties.get("how", "")
        if how:
            entity.emit(entity.id.replace("/bad/", "/effect/"), {"of": how})
            HOW[how](entity)

    def on_ask(self, entity, message):
        return HOW[message](entity)


class Reducing(flux.Behaviour):
    """Does what an event's property `how` says, in its reducer."""

    match = f"{SPACE}/reduce/*"
    supervision = flux.Supervision("stop")

    def reduce(self, state, event):
        how = event.properties.get("how")
        if how:
            return HOW[how](None)
        return {"sum": state.get("sum", 0) + event.properties["n"]}


class Ping(flux.Behaviour):
    """Each makes the other act, for ever."""

    match = f"{SPACE}/cycle/*"

    def on_change(self, entity, change):
        other = "pong" if entity.id.endswith("ping") else "ping"
        entity.emit(f"{SPACE}/cycle/{other}", {"n": change.properties["n"] + 1})


class Unloadable(flux.Behaviour):
    """Loads where it is deployed from, and nowhere else."""

    match = f"{SPACE}/unloadable/*"

    def __init__(self):
        if "UNLOADABLE" not in os.environ:
            raise ImportError("no module of that name")

    def on_change(self, entity, change):
        """Do nothing."""


def _raise(_: Any) -> None:
    raise ValueError("it does not like that")


def _loop(_: Any) -> None:
    while True:
        pass


def _catch_all(_: Any) -> None:
    while True:
        try:
            while True:
                pass
        except BaseException:  # noqa: BLE001, S112 - that is what it does wrong
            continue


def _sleep(_: Any) -> None:
    time.sleep(1_000)


def _hang_in_c(_: Any) -> None:
    ctypes.PyDLL(None).sleep(1_000)  # with the interpreter's lock held


def _hoard(_: Any) -> None:
    kept = []
    while True:
        kept.append(b"x" * (1 << 25))


def _too_large(_: Any) -> None:
    bytearray(10**11)


def _recurse(_: Any) -> None:
    def deeper(depth: int) -> int:
        return deeper(depth + 1) + 1

    deeper(0)


def _print(_: Any) -> None:
    for _line in range(4_000):
        print("x" * 1_000)  # noqa: T201 - that is what it does wrong


def _exit(_: Any) -> None:
    sys.exit(3)


def _exit_at_once(_: Any) -> None:
    os._exit(3)


def _kill_itself(_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _fan_out(entity: Any) -> None:
    for number in range(10**6):
        entity.emit(f"{SPACE}/fan/{number}", {"n": number})


def _large_answer(_: Any) -> str:
    return "x" * 20_000_000


def _answer_that_is_none(_: Any) -> Any:
    return object()


def _nothing(_: Any) -> None:
    return None


def _number(_: Any) -> int:
    return 7


HOW: Final[dict[str, Callable[[Any], Any]]] = {
    "raise": _raise,
    "loop": _loop,
    "catch-all": _catch_all,
    "sleep": _sleep,
    "hang-in-c": _hang_in_c,
    "hoard": _hoard,
    "too-large": _too_large,
    "recurse": _recurse,
    "print": _print,
    "exit": _exit,
    "exit-at-once": _exit_at_once,
    "kill-itself": _kill_itself,
    "fan-out": _fan_out,
    "large-answer": _large_answer,
    "no-answer": _answer_that_is_none,
    "nothing": _nothing,
    "number": _number,
}
DEPLOYED: Final = (Neighbour, Bad, Reducing, Ping)
