"""Another number of shards now and then, from a process that stays in the Ray cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from types import TracebackType
from typing import Any, Self

from tests.conftest import clean_environment

_CODE = """
import json, sys, time
import flux_actors as flux
flux.shards.look()
print("joined", flush=True)
for line in sys.stdin:
    if line.strip():
        flux.shards.scale(int(line))
    else:
        until = time.monotonic() + 40
        while not (found := flux.shards.look()).done and time.monotonic() < until:
            time.sleep(0.1)
        print(json.dumps([row.partitions for row in found.rows] if found.done else found), flush=True)
"""


class Scaler:
    """Asks for numbers of shards without waiting, and at last how the partitions are placed."""

    def __init__(self, flux: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE],
            env=clean_environment() | {"FLUX_DATA": str(flux.data)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders, self._answers = self._process.stdin, self._process.stdout

    def __enter__(self) -> Self:
        assert self._answers.readline() == "joined\n"
        return self

    def scale(self, shards: int) -> None:
        """Ask for so many."""
        self._orders.write(f"{shards}\n")
        self._orders.flush()

    def settled(self) -> Any:
        """Return the partitions of each shard once nothing moves any more."""
        self._orders.write("\n")
        self._orders.flush()
        return json.loads(self._answers.readline())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._orders.close()
        self._process.wait(30)
        self._answers.close()
