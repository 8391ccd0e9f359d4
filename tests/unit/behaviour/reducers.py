"""Reducers for tests of reducers."""

from __future__ import annotations

from typing import Any

from flux_actors.behaviour.behaviour import Behaviour
from flux_actors.behaviour.code import digest_of, pack
from flux_actors.domain.acting.reducers import Fact, ReduceRun

CLOCK_US = 1_700_000_000_000_000


class Counter(Behaviour):
    """Adds; and does all that a reducer should not, when it is told to."""

    match = "shop/*"

    def reduce(self, state: dict[str, Any], event: Any) -> Any:  # noqa: C901 - one case after the other
        match event.properties:
            case {"add": int(number)}:
                state["sum"] = state.get("sum", 0) + number
            case {"do": "raise"}:
                raise ValueError(f"no such thing: {self!r}")
            case {"do": "exit"}:
                raise SystemExit(3)
            case {"do": "none"}:
                return None
            case {"do": "odd"}:
                return {"sum": {1, 2}}
            case {"do": "large"}:
                return {"text": "x" * (2 << 20)}
            case {"do": "seen"}:
                return {"seen": [event.id, event.source, event.time_us, event.position]}
            case {"do": "remember"}:
                self.memory = getattr(self, "memory", 0) + 1
                state["memory"] = self.memory
            case {"do": "order"}:
                state["order"] = list({f"name-{number}" for number in range(20)})
            case {"do": "fill", "bytes": int(size)}:
                state["text"] = "x" * size
            case {"do": "drop"}:
                state.pop("sum", None)
        return state


class Rogue(Behaviour):
    """Does not come back."""

    match = "shop/*"
    hoard: list[bytearray] = []  # noqa: RUF012 - shared on purpose

    def reduce(self, state: dict[str, Any], event: Any) -> Any:  # noqa: C901, PLR0912 - one case after the other
        import ctypes  # noqa: PLC0415 - where it runs
        import os  # noqa: PLC0415
        import time  # noqa: PLC0415

        match event.properties.get("do"):
            case "loop":
                while True:
                    pass
            case "deaf":
                while True:
                    try:
                        while True:
                            pass
                    except BaseException:  # noqa: BLE001, S110 - as deaf as can be
                        pass
            case "sleep":
                time.sleep(3_600)
            case "hoard":
                while True:
                    state = {"more": [state, bytearray(16 << 20)]}
            case "leak":
                self.hoard.append(bytearray(event.properties["bytes"]))
                state = {"leaked": len(self.hoard)}
            case "die":
                os.kill(os.getpid(), 9)
            case "crash":
                ctypes.string_at(0)
            case "exit":
                os._exit(5)
            case "print":
                print("loud " * 100_000)  # noqa: T201 - that is the case
                os.write(1, b"louder")
            case "pid":
                state = {"pid": os.getpid()}
            case _:
                state["ok"] = True
        return state


def packed(cls: type[Behaviour]) -> tuple[str, bytes]:
    """Return the digest and the code of a class."""
    data = pack(cls)
    return digest_of(data), data


def run_of(
    digest: str, *properties: dict[str, Any], entity_id: str = "shop/a", state: dict[str, Any] | None = None
) -> ReduceRun:
    """Return a run of events with these properties."""
    facts = [
        Fact(one, (index + 1) << 12, CLOCK_US + index, f"event-{index}", "test")
        for index, one in enumerate(properties)
    ]
    return ReduceRun(digest, entity_id, state, facts)
