"""A log that lives is given more partitions, and a hot namespace is spread, under writers and a watcher."""

from __future__ import annotations

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.chaos.conftest import Load, Writer
from tests.conftest import RunningFlux, wait_for
from tests.flux_command import flux_json

pytestmark = [pytest.mark.real, pytest.mark.long, pytest.mark.timeout(400)]

HOT = "hot"
HOT_WRITERS = 6
PACE_S = 0.15  # so that the 450 events of a writer last for longer than the command takes
ENTITIES = "/api/state/entities"


class HotLoad(Load):
    """Writers of many namespaces, and some of one that is hot."""

    def start(self, count: int = 6, pace_s: float = PACE_S) -> None:
        super().start(count, pace_s)
        hot = [Writer(self.url, f"{HOT}/entity-{n}", self.stop, pace_s=pace_s) for n in range(HOT_WRITERS)]
        threads = [threading.Thread(target=writer.run, daemon=True) for writer in hot]
        self.writers += hot
        self.threads += threads
        for thread in threads:
            thread.start()


class Watcher:
    """Follows the hot namespace from wherever it is, and comes back when its socket ends."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.seen: dict[str, dict[str, Any]] = {}
        self.times = 0  # that it came
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        while not self.stop.is_set():
            try:
                self._follow()
            except (OSError, ConnectionClosed, TimeoutError):
                time.sleep(0.05)

    def _follow(self) -> None:
        with connect(self._url, proxy=None, open_timeout=5) as socket:
            self.times += 1
            self.seen = {}
            socket.send(json.dumps({"type": "subscribe", "entity_id": f"{HOT}/*", "initial": True}))
            while not self.stop.is_set():
                try:
                    message = json.loads(socket.recv(0.5))
                except TimeoutError:
                    continue
                if message["type"] == "state":
                    self.seen[message["entity"]["id"]] = dict(message["entity"]["properties"])
                elif message["type"] == "state_update":
                    known = self.seen.setdefault(message["entity_id"], {})
                    known[message["property"]] = message["value"]


class Before:
    """What clients know of the log as it was."""

    def __init__(self, url: str) -> None:
        self.url = url
        with httpx.Client(base_url=url, timeout=30) as api:
            for number in range(5):
                self.position = publish(api, "still/lamp", number, f"lamp-{number}").headers["Flux-Position"]
            self.at = api.get(f"{ENTITIES}/still/lamp").json()["lastUpdated"]
            publish(api, "still/lamp", 5, "lamp-5")
            claim = {"entity_id": "still/job", "holder": "me", "ttl_ms": 600_000}
            self.token = api.post("/api/claims", json=claim).raise_for_status().json()["token"]
            page = api.get("/api/events", params={"entity": "still/lamp", "limit": 2})
            self.next_page = page.links["next"]["url"]
            self.lamp = api.get(f"{ENTITIES}/still/lamp")
            self.history = history(api)

    def check(self) -> None:
        """See that what is the same is told so, and what can be no more is told as that."""
        with httpx.Client(base_url=self.url, timeout=30) as api:
            lamp = api.get(f"{ENTITIES}/still/lamp", params={"at_least": self.position})
            assert lamp.json() == self.lamp.json()
            assert lamp.headers["etag"] != self.lamp.headers["etag"]
            assert history(api) == self.history
            then = api.get(f"{ENTITIES}/still/lamp", params={"at": self.at})
            assert then.json()["properties"] == {"v": 4}
            assert api.get(f"{ENTITIES}/still/lamp", params={"at": self.position}).status_code == 410
            assert api.get(self.next_page).status_code == 410
            stale = publish(api, "still/lamp", 9, "new", {"If-Match": self.lamp.headers["etag"]})
            assert (stale.status_code, stale.json()["entity"]) == (412, lamp.json())
            assert publish(api, "still/lamp", 9, "lamp-5").status_code == 200  # a retry
            assert api.get(f"{ENTITIES}/still/lamp").json() == lamp.json()
            claim = {"holder": "me", "token": self.token, "ttl_ms": 60_000}
            renewed = api.post("/api/claims", json={"entity_id": "still/job"} | claim)
            assert renewed.status_code == 200, renewed.text
            fresh = publish(api, "still/lamp", 10, "newer", {"If-Match": lamp.headers["etag"]})
            assert fresh.status_code == 200
        with connect(self.url.replace("http", "ws") + "/api/ws", proxy=None) as socket:
            ask = {"type": "subscribe", "entity_id": "still/*", "from": self.position}
            socket.send(json.dumps(ask))
            kinds = {json.loads(socket.recv(10))["type"] for _ in range(2)}
            assert "resync" in kinds


def history(api: httpx.Client) -> Any:
    return api.get("/api/events", params={"entity": "still/lamp", "limit": 500}).json()


def publish(
    api: httpx.Client, entity_id: str, value: int, event_id: str, headers: dict[str, str] | None = None
) -> httpx.Response:
    payload = {"entity_id": entity_id, "properties": {"v": value}}
    event = {"stream": "s", "source": "t", "eventId": event_id, "payload": payload}
    return api.post("/api/events?wait=applied", json=event, headers=headers)


def ready(flux: RunningFlux, partitions: int) -> bool:
    try:
        told = httpx.get(f"{flux.url}/api/health", timeout=5).json()
    except (httpx.HTTPError, ValueError):
        return False
    return bool(told.get("partitions", {}).get("ready") == partitions)


def test_a_living_log_gets_more_partitions_and_a_hot_namespace_is_spread(make_flux, tmp_path: Path):
    flux = make_flux(["--partitions", "4"])
    flux.start()
    before, load = Before(flux.url), HotLoad(flux.url)
    load.start()
    watcher = Watcher(flux.ws_url)
    wait_for(lambda: load.acked() > 200, 60, "the load to run")
    done = flux_json("repartition", "--partitions", "8", "--spread", HOT, "--data", str(flux.data))
    acked = load.acked()
    assert (done["partitions"], done["spread"], done["removed"]) == ([4, 8], [HOT], 4)
    assert done["closed_s"] < 5
    wait_for(lambda: ready(flux, 8), 60, "the new partitions")
    wait_for(lambda: load.acked() > acked + 50, 60, "writes to go on")
    load.finish()
    slowest_s = max(writer.slowest_s for writer in load.writers)
    sys.stdout.write(
        f"{done}; slowest write {slowest_s:.2f} s, {sum(w.retries for w in load.writers)} retries\n"
    )
    load.check()
    states = {writer.entity_id: writer.state for writer in load.writers if writer.entity_id.startswith(HOT)}
    wait_for(lambda: watcher.seen == states, 30, "the watcher to see what is")
    watcher.stop.set()
    watcher.thread.join(10)
    assert watcher.times > 1  # it was sent away from a log that was none any more
    before.check()
    assert all(row["same"] for row in flux_json("verify", "--data", str(flux.data)))
    backup = flux_json("backup", str(tmp_path / "backup"), "--data", str(flux.data))
    assert len(backup["partitions"]) == 8
    flux.stop()
    flux.start()  # with the number of partitions that it had when the log was new
    load.check()
    flux.stop()
    restored = make_flux()
    flux_json("restore", str(tmp_path / "backup"), "--data", str(restored.data))
    restored.start()
    Load(restored.url, writers=[Writer(**_at(writer, restored.url)) for writer in load.writers]).check()


def _at(writer: Writer, url: str) -> dict[str, Any]:
    return vars(writer) | {"url": url}


def test_a_stopped_flux_is_repartitioned_and_the_old_log_can_be_kept(make_flux):
    flux = make_flux(["--partitions", "2"])
    flux.start()
    load = Load(flux.url)
    load.start()
    wait_for(lambda: load.acked() > 60, 60, "the load to run")
    load.finish()
    flux.stop()
    data = ("--data", str(flux.data))
    done = flux_json("repartition", "--partitions", "3", "--keep-old", *data)
    assert (done["partitions"], done["removed"], done["generation"]) == ([2, 3], 0, 2)
    again = flux_json("repartition", "--spread", load.writers[0].entity_id.split("/")[0], *data)
    assert (again["partitions"], again["generation"], again["removed"]) == ([3, 3], 3, 5)
    assert flux_json("repartition", "--forget-old", *data) == {"removed": 0}
    flux.start()
    load.check()
