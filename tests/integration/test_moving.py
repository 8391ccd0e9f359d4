"""Shards come and go while everything goes on: writes never stop, and reads wait no longer than 2 s."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.busy import busy
from tests.conftest import clean_environment
from tests.integration.api.support import event

pytestmark = [pytest.mark.real, pytest.mark.timeout(240)]
SPACES = 8
ENTITIES = 20
RETRY_S = 30.0


class Traffic:
    """One thread that writes a namespace, reads it, and expects to see what it wrote."""

    def __init__(self, url: str, name: str) -> None:
        self.url = url
        self.name = name
        self.rounds = 0
        self.slowest_s = [0.0, 0.0]  # of a write, of a read
        self.trouble: list[str] = []

    def run(self, stop: threading.Event) -> None:
        with httpx.Client(base_url=self.url, timeout=20, trust_env=False) as client:
            while not stop.is_set() and not self.trouble:
                self.rounds += 1
                self._round(client)

    def _round(self, client: httpx.Client) -> None:
        body = [event(f"{self.name}/{number}", {"v": self.rounds}) for number in range(ENTITIES)]
        written = self._ask(0, lambda: client.post("/api/events/batch", json=body))
        position = {"Flux-Position": written.headers.get("Flux-Position", "")}
        one = f"/api/state/entities/{self.name}/{self.rounds % ENTITIES}"
        listed = f"/api/state/entities?namespace={self.name}&limit={ENTITIES}"
        for path in (one, listed):
            answer = self._ask(1, lambda path=path: client.get(path, headers=position))
            if answer.status_code != 200:
                self.trouble.append(f"{path}: {answer.status_code} {answer.text[:200]}")
                continue
            found = answer.json()
            values = {entity["properties"]["v"] for entity in (found if path == listed else [found])}
            if values != {self.rounds}:
                self.trouble.append(f"{path}: {values} after {self.rounds} was acknowledged")

    def _ask(self, kind: int, ask: Callable[[], httpx.Response]) -> httpx.Response:
        """Ask as a client does: 503 is tried again, and counts in the time that it took."""
        began = time.monotonic()
        while (answer := ask()).status_code == 503 and time.monotonic() < began + RETRY_S:
            time.sleep(0.05)
        self.slowest_s[kind] = max(self.slowest_s[kind], time.monotonic() - began)
        return answer


def shards(flux: Any, *arguments: str) -> str:
    """Run `flux shards`."""
    done = subprocess.run(
        [sys.executable, "-m", "flux_actors", "shards", *arguments, "--data", str(flux.data)],
        check=False,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def owners(flux: Any) -> list[str]:
    """Return the shard of each partition."""
    status = httpx.get(f"{flux.url}/api/status", timeout=20).raise_for_status().json()
    return [part["shard"] for part in status["partitions"]]


def test_partitions_move_while_they_are_written_and_read(flux, namespace):
    stop = threading.Event()
    traffic = [Traffic(flux.url, f"{namespace}{n}") for n in range(SPACES)]
    threads = [threading.Thread(target=one.run, args=(stop,)) for one in traffic]
    for thread in threads:
        thread.start()
    try:
        shards(flux, "3")
        spread = owners(flux)
        shards(flux, "1")
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert len(set(spread)) == 3
    assert owners(flux) == ["flux-shard-0-e1"] * 4
    assert [trouble for one in traffic for trouble in one.trouble] == []
    write_s, read_s = (max(slowest) for slowest in zip(*(one.slowest_s for one in traffic), strict=True))
    rounds = sum(one.rounds for one in traffic)
    print(f"{rounds} rounds; slowest write {write_s:.2f} s, read {read_s:.2f} s")  # noqa: T201
    assert max(read_s, write_s) < 2.0 * busy()


def test_there_cannot_be_more_shards_than_partitions(flux):
    with pytest.raises(AssertionError, match="this log has 4 partitions, so 1 to 4 shards, not 5"):
        shards(flux, "5")
