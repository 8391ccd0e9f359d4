"""A process that asks an entity again and again, and prints what it heard: `python -m tests.asker ID S`.

It is a driver of the Ray cluster of the Flux on `FLUX_DATA`, as a user's script is. It ends with its input.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from typing import Any, NamedTuple, Self

import flux_actors as flux
from flux_actors.errors import FluxError
from flux_cluster.ray_head import ray_environment
from tests.conftest import RunningFlux, clean_environment, wait_for

_PAUSE_S = 0.01
_START_S = 60.0
_END_S = 60.0
_ANSWER_S = 60.0


class Heard(NamedTuple):
    """What came of one question."""

    began: float  # by `time.time`
    took_s: float
    error: str  # the name of its type, "" for an answer
    text: str

    @property
    def ended(self) -> float:
        return self.began + self.took_s


class Asker:
    """Has a process ask `entity_id`, and collects what it heard."""

    def __init__(self, running: RunningFlux, entity_id: str, deadline_s: float = 30.0) -> None:
        environment = ray_environment(running.data.absolute() / "ray-token")
        self.heard: list[Heard] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.asker", entity_id, str(deadline_s)],
            env=clean_environment() | environment | {"FLUX_DATA": str(running.data.absolute())},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._thread = threading.Thread(target=self._collect, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_S
        while not self.heard:
            assert self._process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        finally:
            self._process.kill()
            self._process.wait()
            self._thread.join(_END_S)
            assert self._process.stdout is not None
            self._process.stdout.close()

    def since(self, moment: float) -> list[Heard]:
        """Return what ended after a moment, one question that is under way now included."""
        now = time.time()
        wait_for(lambda: self.heard[-1].ended > now, _ANSWER_S, "the question that is under way")
        return [one for one in list(self.heard) if one.ended > moment]

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.heard.append(Heard(*json.loads(line)))


def _ask_on(entity_id: str, deadline_s: float) -> None:
    ended = threading.Event()
    threading.Thread(target=lambda: (sys.stdin.read(), ended.set()), daemon=True).start()
    entity = flux.connect().entity(entity_id)
    number = 0
    while not ended.wait(_PAUSE_S):
        number += 1
        began, since = time.time(), time.monotonic()
        error, text = "", ""
        try:
            answer: Any = entity.ask({"n": number}, deadline_s=deadline_s)
            if answer != {"n": number}:
                error, text = "WrongAnswer", repr(answer)
        except FluxError as failed:
            error, text = type(failed).__name__, failed.message
        print(json.dumps([began, time.monotonic() - since, error, text]), flush=True)  # noqa: T201


if __name__ == "__main__":
    _ask_on(sys.argv[1], float(sys.argv[2]))
