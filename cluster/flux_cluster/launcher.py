"""Running the launcher from the supervisor, which itself stays free of Ray and small."""

from __future__ import annotations

import json
import pickle
import selectors
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, cast

from flux_actors.errors import Unavailable


def _nobody(_: str) -> None:
    """Report to nobody."""


class Launcher:
    """One launcher process; it imports while others start, and acts when it gets its orders."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "flux_cluster.launch"],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=file,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The launcher's process."""
        return self._process.pid

    def obey(self, orders: Any, silence_s: float, report: Callable[[str], None] = _nobody) -> str | None:
        """Hand over the orders and wait until they are carried out; `report` hears how far they are.

        Returns where a door is, after a start on a cluster of others.

        Raises:
            Unavailable: they could not be, or nothing was heard for `silence_s`; the text says why.
        """
        orders_to = cast("IO[bytes]", self._process.stdin)
        try:
            with orders_to:
                orders_to.write(pickle.dumps(orders))
            answer = self._answer(silence_s, report)
        except BrokenPipeError:
            raise Unavailable(f"the launcher ended without an answer; see {self._log}") from None
        finally:
            self.end()  # that it takes a second to leave Ray is nobody's concern
        if not answer["ok"]:
            raise Unavailable(answer["error"])
        door: str | None = answer.get("door")
        return door

    def _answer(self, silence_s: float, report: Callable[[str], None]) -> dict[str, Any]:
        """Return the last line; report the lines before it."""
        answers_from = cast("IO[bytes]", self._process.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(answers_from, selectors.EVENT_READ)
            while True:
                if not selector.select(silence_s):
                    raise Unavailable(f"Ray did not do its part within {silence_s:.0f} s; see {self._log}")
                try:
                    told: dict[str, Any] = json.loads(answers_from.readline())
                except ValueError:
                    raise Unavailable(f"the launcher ended without an answer; see {self._log}") from None
                if "ok" in told:
                    return told
                report(told["progress"])

    def end(self) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
