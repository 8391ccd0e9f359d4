"""Running the launcher from the supervisor, which itself stays free of Ray and small."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

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
        try:
            out, _ = self._process.communicate(pickle.dumps(orders), timeout=timeout_s)
        except subprocess.TimeoutExpired:
            self.end()
            raise Unavailable(f"Ray did not do its part within {timeout_s:.0f} s; see {self._log}") from None
        try:
            answer = json.loads(out.splitlines()[-1])
        except (IndexError, ValueError):
            raise Unavailable(f"the launcher ended without an answer; see {self._log}") from None
        if not answer["ok"]:
            raise Unavailable(answer["error"])

    def end(self) -> None:
        """End the process if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()
