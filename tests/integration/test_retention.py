"""The log's front is forgotten by age and by size, behind its snapshots; what is left tells the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import msgspec
import psutil
import pytest
from websockets.sync.client import connect

from tests.conftest import RunningFlux, clean_environment, wait_for
from tests.integration.api.support import Watcher

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(300)]  # Flux is started five times

LIVES = 3  # runs of Flux, each of which leaves a snapshot
EVENTS = 12  # of each
LAMP = "/api/state/entities/home/lamp"
LIST = "/api/state/entities"
TRIMMED_S = 30.0
SUCCESSOR_S = 30.0


@dataclass
class Trimmed:
    """A Flux that has forgotten the front of its log, and what it told when that was there."""

    flux: RunningFlux
    told: list[tuple[str, Any, str]] = field(default_factory=list)  # position, entity, ETag behind each event
    lists: list[tuple[str, Any]] = field(default_factory=list)
    kept_from: int = 0  # of `told`, the first event that the log still holds

    @property
    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.flux.url, timeout=60, trust_env=False)

    def live(self) -> None:
        """Publish some events, each a block of its own, and note what is told behind each."""
        with self.client as client:
            for _ in range(EVENTS):
                number = len(self.told)
                properties = {"n": number, f"p{number % 5}": number}
                payload = {"entity_id": "home/lamp", "properties": properties}
                event = {"stream": "s", "source": "t", "payload": payload}
                done = client.post("/api/events?wait=applied", json=event)
                payload["entity_id"] = f"home/{number:02}"
                other = client.post("/api/events?wait=applied", json=event)
                entity = client.get(LAMP)
                self.told.append((done.headers["Flux-Position"], entity.json(), entity.headers["etag"]))
                listed = client.get(LIST, params={"prefix": "home/"}).json()
                self.lists.append((other.headers["Flux-Position"], listed))

    def log(self) -> dict[str, Any]:
        """Return what `flux log` tells of the one partition."""
        done = subprocess.run(
            [sys.executable, "-m", "flux_actors", "log", "-o", "json"],
            env=clean_environment() | {"FLUX_URL": self.flux.url},
            capture_output=True,
            check=True,
            timeout=60,
        )
        (row,) = msgspec.json.decode(done.stdout)["partitions"]
        return row


@pytest.fixture(scope="module")
def trimmed(make_module_flux: Callable[..., RunningFlux]) -> Iterator[Trimmed]:
    flux = make_module_flux(["--partitions", "1", "--log-max-age", "1s"])
    trimmed = Trimmed(flux)
    for _ in range(LIVES):
        flux.start()
        trimmed.live()
        flux.stop()
    flux.start()

    def has_trimmed() -> int:
        row = trimmed.log()
        oldest = row["oldest_snapshot"]["sequence"]
        assert row["first"]["sequence"] <= oldest + 1
        return row["first"]["sequence"] if row["first"]["sequence"] == oldest + 1 else 0

    first = wait_for(has_trimmed, TRIMMED_S, "the log to be trimmed")
    sequences = [int(position.split(".")[1]) for position, _, _ in trimmed.told]
    trimmed.kept_from = sum(sequence < first for sequence in sequences)
    assert trimmed.kept_from == EVENTS  # the first life is gone
    return trimmed


def _phase(client: httpx.Client) -> str:
    """Return what the shard that hosts the partition says now, not what the door remembers."""
    return client.get("/api/status").json()["partitions"][0]["phase"]


def check_everything(trimmed: Trimmed) -> None:
    """The present is as it was; so is the past behind the trim, and what is gone says so."""
    last_of_first_life, first_kept = trimmed.kept_from - 1, trimmed.kept_from
    with trimmed.client as client:
        now = client.get(LAMP)
        assert (now.json(), now.headers["etag"]) == trimmed.told[-1][1:]
        assert client.get(LIST, params={"prefix": "home/"}).json() == trimmed.lists[-1][1]
        for position, entity, etag in trimmed.told[first_kept:]:
            then = client.get(LAMP, params={"at": position})
            assert (then.json(), then.headers["etag"]) == (entity, etag)
        for position, listed in (trimmed.lists[first_kept], trimmed.lists[-2]):
            assert client.get(LIST, params={"prefix": "home/", "at": position}).json() == listed
        by_time = client.get(LAMP, params={"at": trimmed.told[first_kept][1]["lastUpdated"]})
        assert by_time.json() == trimmed.told[first_kept][1]
        for number in (0, last_of_first_life):
            gone = client.get(LAMP, params={"at": trimmed.told[number][0]})
            assert (gone.status_code, "its past is known from" in gone.json()["error"]) == (410, True)
            listed = client.get(LIST, params={"prefix": "home/", "at": trimmed.told[number][0]})
            assert listed.status_code == 410
        history = client.get("/api/events", params={"entity": "home/lamp"})
        numbers = [event["payload"]["properties"]["n"] for event in history.json()]
        assert numbers == list(range(len(trimmed.told) - 1, first_kept - 1, -1))
        assert history.headers["flux-history-from"] == trimmed.told[first_kept][1]["lastUpdated"]


def test_what_is_left_tells_the_same_and_what_is_gone_says_so(trimmed: Trimmed) -> None:
    row = trimmed.log()
    assert row["snapshots"] == LIVES
    assert row["trim_keeps_from"] == row["first"]["sequence"]
    assert row["blocks"] == row["last"]["sequence"] - row["first"]["sequence"] + 1
    assert 0 < row["bytes"] < 1_000_000
    check_everything(trimmed)


def test_a_shard_that_is_killed_comes_back_over_a_trimmed_log(trimmed: Trimmed) -> None:
    killed = trimmed.flux.pid_of("ray::ShardProcess")
    os.kill(killed, signal.SIGKILL)
    wait_for(lambda: not psutil.pid_exists(killed), SUCCESSOR_S, "the shard to end")
    with trimmed.client as client:
        wait_for(lambda: _phase(client) == "running", SUCCESSOR_S, "its successor")
    check_everything(trimmed)


def test_everything_is_killed_and_comes_back_over_a_trimmed_log(trimmed: Trimmed) -> None:
    trimmed.live()
    trimmed.flux.kill_everything()
    trimmed.flux.start()
    check_everything(trimmed)
    trimmed.flux.stop()
    trimmed.flux.start()  # a fourth snapshot: the log is trimmed again, behind the oldest of three
    first = wait_for(
        lambda: trimmed.log()["first"]["sequence"] == trimmed.log()["oldest_snapshot"]["sequence"] + 1,
        TRIMMED_S,
        "the log to be trimmed again",
    )
    assert first
    trimmed.kept_from += EVENTS
    check_everything(trimmed)


def _resumed(trimmed: Trimmed, position: str) -> list[dict[str, Any]]:
    """Return what a socket is told that resumes behind a position, up to the last event or a new start."""
    last = trimmed.told[-1][0]
    with connect(trimmed.flux.ws_url, proxy=None) as socket:
        watcher = Watcher(socket)
        watcher.send(type="subscribe", entity_id="home/lamp", format="delta", **{"from": position})
        told = watcher.until(lambda message: message.get("position") == last or message["type"] == "resync")
        return [message for message in told if message["type"] in {"delta", "resync"}]


def test_a_socket_resumes_from_the_log_as_far_as_that_goes(trimmed: Trimmed) -> None:
    place = trimmed.kept_from + 3
    told = _resumed(trimmed, trimmed.told[place][0])
    assert [m.get("position") for m in told] == [position for position, _, _ in trimmed.told[place + 1 :]]
    gone = _resumed(trimmed, trimmed.told[0][0])
    assert [message["type"] for message in gone] == ["resync"]


def test_a_log_that_has_grown_too_large_is_trimmed_behind_its_snapshots_alone(make_flux):
    flux = make_flux(["--partitions", "1", "--log-max-bytes", "1MiB"])
    trimmed = Trimmed(flux)

    def write(lives: int) -> None:
        """Write 0.8 MB in each of some lives, each of which leaves a snapshot."""
        for _ in range(lives):
            flux.start()
            with trimmed.client as client:
                for number in range(8):
                    properties = {"n": number, "text": os.urandom(50_000).hex()}
                    event = {
                        "stream": "s",
                        "source": "t",
                        "payload": {"entity_id": "big/one", "properties": properties},
                    }
                    client.post("/api/events", json=event).raise_for_status()
            flux.stop()

    write(LIVES - 1)
    flux.start()
    before = trimmed.log()
    assert before["bytes"] > 1_000_000
    assert before["first"]["sequence"] == 1  # not all three snapshots are kept yet
    flux.stop()
    write(1)
    flux.start()
    wait_for(lambda: trimmed.log()["first"]["sequence"] > 1, TRIMMED_S, "the log to be trimmed")
    after = trimmed.log()
    assert after["first"]["sequence"] <= after["oldest_snapshot"]["sequence"] + 1
    assert after["bytes"] < before["bytes"] + 900_000
    with trimmed.client as client:
        assert client.get("/api/state/entities/big/one").json()["properties"]["n"] == 7
