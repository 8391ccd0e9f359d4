"""The server that is measured: what the benchmark asks of it beside the load."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import quote, urlsplit

import httpx
import msgspec
from websockets.sync.client import connect

from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_bench.generator.jobs import Place

_TIMEOUT_S: Final = 120.0
_SETTLE_S: Final = 30.0
_POLL_S: Final = 0.02
_METRICS_S: Final = 10.0
_IDS_MAX: Final = 1_000
_DIRECTORY: Final = "flux-core/directory"


class EntityBody(msgspec.Struct):
    """An entity as it is read."""

    id: str
    properties: dict[str, Any]


class _Some(msgspec.Struct):
    entities: list[EntityBody]


class Level(NamedTuple):
    """Where the count of events stood: the server's own newest event (none or one), and the count."""

    newest: list[str]
    total: int


_decode_list = msgspec.json.Decoder(list[EntityBody]).decode


class Server:
    """A server that speaks the API; acknowledged events must be applied within `settle_s`."""

    def __init__(self, url: str, admin_token: str | None = None, settle_s: float = _SETTLE_S) -> None:
        self.settle_s = settle_s
        self.url = url.rstrip("/")
        self.place = place_of(url)
        self._admin = {"Authorization": f"Bearer {admin_token}"} if admin_token else {}
        self._http = httpx.Client(base_url=self.url, timeout=_TIMEOUT_S)
        self._has_status: bool | None = None

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def without_rate_limit(self) -> dict[str, Any]:
        """Switch the rate limit off; return what must be set again afterwards.

        Raises:
            Refused: the server does not let us.
        """
        config = self._ask("GET", "/api/admin/config")
        if config.status_code != httpx.codes.OK or not config.json().get("rate_limit_enabled"):
            return {}
        self.configure({"rate_limit_enabled": False})
        return {"rate_limit_enabled": True}

    def configure(self, change: dict[str, Any]) -> None:
        """Change the admin config."""
        answer = self._ask("PUT", "/api/admin/config", json=change, headers=self._admin)
        if answer.status_code != httpx.codes.OK:
            raise Refused(
                f"{self.url} does not let its rate limit be switched off ({answer.status_code}); "
                "set FLUX_ADMIN_TOKEN, or switch it off there"
            )

    def register(self, namespace: str) -> str:
        """Make a namespace; return the head line that opens it."""
        answer = self.expect("POST", "/api/namespaces", json={"name": namespace}, headers=self._admin)
        return f"Authorization: Bearer {answer.json()['token']}\r\n"

    def events_total(self) -> int:
        """Return how many events the state holds: from the status if there is one, else from the metrics."""
        if self._has_status is not False:
            answer = self._ask("GET", "/api/status")
            self._has_status = answer.status_code == httpx.codes.OK
            if self._has_status:
                return sum(part["events"] for part in answer.json()["partitions"])
        return int(self._metrics()["events"]["total"])

    def blocks(self) -> int:
        """Return how many blocks the log has had, in all partitions."""
        parts = self.expect("GET", "/api/status").json()["partitions"]
        return sum(part["sequence"] for part in parts)

    def level(self) -> Level:
        """Return where the count of events stands, to be compared with later.

        Raises:
            Unavailable: it never stands still.
        """
        deadline = time.monotonic() + self.settle_s
        while time.monotonic() < deadline:
            total = self.events_total()
            own = self._own_events()
            if (
                self.events_total() == total
            ):  # else an event of the server's own may be in one and not the other
                return Level(own[:1], total)
            time.sleep(_POLL_S)
        raise Unavailable(f"{self.url} has events all the time; somebody else publishes to it")

    def settle(self, before: Level, added: int) -> None:
        """Return when the state holds `added` events more than before, beside those of the server itself.

        Raises:
            Corrupt: it has fewer for too long, or more.
        """
        deadline = time.monotonic() + self.settle_s
        while (missing := self._missing(before, added)) is None or missing > 0:
            if time.monotonic() > deadline:
                raise Corrupt(f"{missing} acknowledged events are missing after {self.settle_s:.0f} s")
            time.sleep(_POLL_S)
        if missing < 0:
            raise Corrupt(
                f"{-missing} events more were applied than acknowledged: either twice, "
                "or somebody else publishes to this server"
            )

    def _missing(self, before: Level, added: int) -> int | None:
        """Return how many events are missing; `None` while the count is moving."""
        total = self.events_total()
        own = self._own_events()
        if self.events_total() != total:
            return None
        since = own.index(before.newest[0]) if before.newest and before.newest[0] in own else len(own)
        return before.total + added + since - total

    def _own_events(self) -> list[str]:
        """Return the events that the server itself has published lately, newest first: the directory."""
        answer = self._ask("GET", f"/api/events?entity={_DIRECTORY}&limit=500")
        return [event["eventId"] for event in answer.json()] if answer.status_code == httpx.codes.OK else []

    def sequences(self, namespace: str) -> dict[str, int]:
        """Return the `sequence` of every entity of a namespace."""
        answer = self.expect("GET", f"/api/state/entities?namespace={namespace}")
        return sequences_in(_decode_list(answer.content))

    def count(self, namespace: str) -> int:
        """Return how many entities a namespace has."""
        answer = self.expect("GET", f"/api/state/entities?namespace={namespace}&count=true")
        return int(answer.json()["count"])

    def some(self, ids: list[str]) -> dict[str, int]:
        """Return the `sequence` of some entities."""
        answer = self.expect("POST", "/api/state/entities/get", json={"ids": ids})
        return sequences_in(msgspec.json.decode(answer.content, type=_Some).entities)

    def etags(self, ids: Iterable[str]) -> list[str]:
        """Return the ETags of some entities."""
        return [
            self.expect("GET", f"/api/state/entities/{quote(one)}").headers.get("ETag", "") for one in ids
        ]

    def answers(self) -> bool:
        """Whether a read is answered with 200."""
        try:
            return self._http.get("/api/state/entities?count=true", timeout=5).status_code == httpx.codes.OK
        except httpx.HTTPError:
            return False

    def delete(self, ids: list[str]) -> None:
        """Delete entities that the benchmark made."""
        for first in range(0, len(ids), _IDS_MAX):
            self.expect(
                "POST", "/api/state/entities/delete", json={"entity_ids": ids[first : first + _IDS_MAX]}
            )

    def expect(self, method: str, path: str, **options: Any) -> httpx.Response:
        """Return the answer to a request that must succeed."""
        answer = self._ask(method, path, **options)
        if answer.status_code != httpx.codes.OK:
            raise Unavailable(f"{method} {path} was answered {answer.status_code}: {answer.text[:200]}")
        return answer

    def _ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **options)
        except httpx.HTTPError as error:
            raise Unavailable(f"{self.url} does not answer ({type(error).__name__})") from None

    def _metrics(self) -> Any:
        place = self.place.name
        with connect(f"ws://{place}/api/ws", compression=None, max_size=None) as socket:
            deadline = time.monotonic() + _METRICS_S
            while time.monotonic() < deadline:
                message = msgspec.json.decode(socket.recv(_METRICS_S))
                if message.get("type") == "metrics_update":
                    return message
        raise Unavailable(f"{self.url} tells no metrics, so that acknowledged events cannot be counted")


def place_of(url: str) -> Place:
    """Return where a URL says the server listens.

    Raises:
        Refused: it is no URL of a server that can be measured.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise Refused(f"--url must be like http://localhost:3000, not {url}")
    return Place(parts.hostname, parts.port or 80)


def wait_until(condition: Callable[[], bool], timeout_s: float, what: str) -> None:
    """Return when a condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise Unavailable(f"waited {timeout_s:.0f} s in vain for {what}")
        time.sleep(_POLL_S)


def sequences_in(entities: list[EntityBody]) -> dict[str, int]:
    """Return the `sequence` of each entity."""
    return {entity.id: entity.properties.get("sequence", -1) for entity in entities}
