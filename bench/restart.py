"""How long a restart takes: `flux up` on an empty folder, on a used one, and with many entities.

Baseline: the start on an empty folder. After the last restart every entity must be there with the ETag
it had before, and the position of a write from before must still be readable.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx

from bench.lab import show
from flux_cluster.data_folder import DataFolder, Run
from flux_cluster.ports import free_ports

_BATCH = 1_000
_TIMEOUT_S = 120.0
_TARGETS_S = (12.0, 12.0, 2.0)  # second start, start with entities, the shard's own part
_RECOVERED = re.compile(r"partition\.recovered.*seconds=([0-9.]+)")


class Flux:
    """`flux up --detach` on a folder of its own."""

    def __init__(self, data: Path) -> None:
        port, serve_port = free_ports(2)
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
        self._environment = plain | {"FLUX_PORT": str(port), "FLUX_SERVE_PORT": str(serve_port)}
        self._environment |= {"FLUX_DATA": str(data), "NO_COLOR": "1"}
        self._folder = DataFolder(data)
        self.url = f"http://127.0.0.1:{port}"

    def up(self) -> float:
        """Start, and return the seconds until the first 200 of a read."""
        started = time.perf_counter()
        self._flux("up", "--detach")
        httpx.get(f"{self.url}/api/state/entities?count=true", timeout=_TIMEOUT_S).raise_for_status()
        return time.perf_counter() - started

    def down(self) -> None:
        """Stop."""
        self._flux("down")

    def recovery_s(self) -> float:
        """Return the seconds of the slowest partition's recovery, as the shards tell them in their logs."""
        logs = Path(self.run().ray_folder).glob("session_*/logs/worker*")
        told = [float(s) for log in logs for s in _RECOVERED.findall(log.read_text(errors="replace"))]
        assert told, "no shard told of a recovery"
        return max(told)

    def run(self) -> Run:
        """Return the run file."""
        run = self._folder.run()
        assert run is not None
        return run

    def _flux(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "flux_actors", *arguments],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S * 2,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


def fill(url: str, entities: int) -> str:
    """Publish `entities` entities of three properties; return the last position."""
    position = ""
    with httpx.Client(base_url=url, timeout=_TIMEOUT_S) as client:
        for first in range(0, entities, _BATCH):
            events = [event(number) for number in range(first, min(first + _BATCH, entities))]
            answer = client.post("/api/events/batch?wait=applied", json={"events": events}).raise_for_status()
            assert answer.json()["failed"] == 0
            position = answer.headers["Flux-Position"]
    return position


def event(number: int) -> dict[str, object]:
    """Return one event."""
    properties = {"temperature": number / 7, "status": "active", "sequence": number}
    payload = {"entity_id": f"bench/sensor-{number:06d}", "properties": properties}
    return {"stream": "bench", "source": "bench", "payload": payload}


def fingerprint(url: str, entities: int, position: str) -> str:
    """Return a hash of every entity as it reads; fails when one is missing."""
    headers = {"Flux-Position": position}
    listed = httpx.get(f"{url}/api/state/entities", headers=headers, timeout=_TIMEOUT_S).raise_for_status()
    rows = json.loads(listed.content)
    assert len([row for row in rows if row["id"].startswith("bench/")]) == entities
    found = hashlib.sha256()
    for row in rows:
        if row["id"].startswith("bench/"):
            found.update(json.dumps(row).encode())
    for row in rows[:: max(1, len(rows) // 50)]:
        if row["id"].startswith("bench/"):
            one = httpx.get(f"{url}/api/state/entities/{row['id']}", timeout=_TIMEOUT_S).raise_for_status()
            found.update(one.headers["ETag"].encode())
    return found.hexdigest()


def measure(flux: Flux, entities: int, times: int) -> dict[str, float]:
    """Return the seconds of each case, medians of `times` starts; fail when a restart changed anything."""
    first = flux.up()
    flux.down()
    second = []
    for _ in range(times):
        second.append(flux.up())
        flux.down()
    flux.up()
    position = fill(flux.url, entities)
    before = fingerprint(flux.url, entities, position)
    loaded, own = [], []
    for _ in range(times):
        flux.down()
        loaded.append(flux.up())
        own.append(flux.recovery_s())
        assert fingerprint(flux.url, entities, position) == before
    return {
        "first start, empty folder": first,
        "second start": statistics.median(second),
        f"start with {entities:,} entities": statistics.median(loaded),
        "… the shard's own part of it": statistics.median(own),
    }


def main() -> None:
    """Print the table; exit with 1 when a figure misses its target."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entities", type=int, default=200_000)
    parser.add_argument("--quick", action="store_true", help="a small run that shows that it works")
    options = parser.parse_args()
    data = Path(tempfile.mkdtemp(prefix="flux-bench-"))
    flux = Flux(data)
    try:
        found = measure(flux, 2_000, 1) if options.quick else measure(flux, options.entities, 3)
    finally:
        flux.down()
        shutil.rmtree(data)
    first, *others = found.values()
    verdicts = ["", *("reached" if s <= t else "missed" for s, t in zip(others, _TARGETS_S, strict=True))]
    targets = ["", *(f"≤ {target:.0f} s" for target in _TARGETS_S)]
    rows = [
        (case, f"{seconds:.2f}", f"{seconds / first:.2f}", target, verdict)
        for (case, seconds), target, verdict in zip(found.items(), targets, verdicts, strict=True)
    ]
    show("Restart", ("case", "seconds", "× first start", "target", "verdict"), rows)
    sys.exit("missed" in verdicts)


if __name__ == "__main__":
    main()
