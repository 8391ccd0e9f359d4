"""Running the launcher from the supervisor, which itself stays free of Ray and small."""

from __future__ import annotations

import json
import pickle
import selectors
import subprocess
import sys
from pathlib import Path
from typing import IO, Any, cast

from flux_actors.errors import Unavailable


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

    def obey(self, orders: Any, timeout_s: float) -> None:
        """Hand over the orders and wait until they are carried out.

        Raises:
            Unavailable: they could not be; the text says why.
        """
        orders_to = cast("IO[bytes]", self._process.stdin)
        answer_from = cast("IO[bytes]", self._process.stdout)
        with selectors.DefaultSelector() as selector:
            orders_to.write(pickle.dumps(orders))
            orders_to.close()
            selector.register(answer_from, selectors.EVENT_READ)
            ready = selector.select(timeout_s)
        # Its answer is one line; that it then takes a second to leave Ray is nobody's concern.
        line = answer_from.readline() if ready else b""
        self.end()
        if not ready:
            raise Unavailable(f"Ray did not do its part within {timeout_s:.0f} s; see {self._log}")
        try:
            answer = json.loads(line)
        except ValueError:
            raise Unavailable(f"the launcher ended without an answer; see {self._log}") from None
        if not answer["ok"]:
            raise Unavailable(answer["error"])

    def end(self) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()
