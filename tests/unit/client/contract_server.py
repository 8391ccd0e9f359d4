"""A small Flux for tests of its clients: answers by the published contract, records what it was asked.

It keeps entities in a dict and knows nothing of logs, partitions or positions that grow; `answer_with`
makes it give one certain answer instead, for the cases where a server fails.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

_UPDATED = "2030-01-31T08:00:00.000001+00:00"
_ENTITIES = "/api/state/entities"


@dataclass
class Request:
    """One request as it came over the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def parameters(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Answer:
    """What goes back; `promised_bytes` is a Content-Length that the body does not keep."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    promised_bytes: int | None = None


class ContractServer:
    """The state of the small Flux, and its record."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.entities: dict[str, dict[str, Any]] = {}
        self.past: dict[str, dict[str, dict[str, Any]]] = {}  # the entities of certain moments
        self.events: list[dict[str, Any]] = []
        self.config = {"rate_limit_enabled": True, "rate_limit_per_namespace_per_minute": 10_000}
        self.requests: list[Request] = []
        self.forgot = False  # whether histories go on behind what is told
        self.lines = True  # whether a list may be answered line by line
        self._fixed: list[Answer] = []
        self._changed = threading.Condition()

    @property
    def last(self) -> Request:
        return self.requests[-1]

    def answer_with(
        self,
        status: int,
        body: bytes,
        headers: dict[str, str] | None = None,
        promised_bytes: int | None = None,
        times: int = 1,
    ) -> None:
        """Give this answer to the next request, or to the next `times` ones."""
        self._fixed += [Answer(status, body, headers or {}, promised_bytes)] * times

    def wait_for_requests(self, count: int) -> None:
        """Return when so many requests have come; fails after thirty seconds."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.requests) >= count, timeout=30)

    def respond(self, request: Request) -> Answer:
        with self._changed:
            answer = self._fixed.pop(0) if self._fixed else self._route(request)
            self.requests.append(request)
            self._changed.notify_all()
        return answer

    def _route(self, request: Request) -> Answer:
        routes = {
            ("POST", "/api/events"): self._publish,
            ("POST", "/api/events/batch"): self._batch,
            ("GET", "/api/events"): self._history,
            ("GET", _ENTITIES): self._list,
            ("POST", f"{_ENTITIES}/get"): self._get_many,
            ("POST", f"{_ENTITIES}/delete"): self._delete_many,
            ("GET", "/api/health"): self._health,
            ("GET", "/api/connectors"): self._connectors,
            ("GET", "/api/admin/config"): self._config,
            ("PUT", "/api/admin/config"): self._config,
            ("GET", "/api/admin/log"): self._log,
        }
        one_entity = {"GET": self._get, "DELETE": self._delete}
        if route := routes.get((request.method, request.path)):
            return route(request)
        if request.path.startswith(f"{_ENTITIES}/") and request.method in one_entity:
            return one_entity[request.method](request)
        return _error(404, f"no such path: {request.path}")

    def _get(self, request: Request) -> Answer:
        entity_id, entities = _named(request), self._then(request)
        if entity_id not in entities:
            return _error(404, "Entity not found")
        return _ok({"id": entity_id, "properties": entities[entity_id], "lastUpdated": _UPDATED})

    def _then(self, request: Request) -> dict[str, dict[str, Any]]:
        at = request.parameters.get("at")
        return self.entities if at is None else self.past.get(at, {})

    def _log(self, request: Request) -> Answer:
        place = {"sequence": 3, "time": _UPDATED}
        full = {"partition": 0, "blocks": 9, "bytes": 12_345_678, "first": place, "last": place}
        full |= {"snapshots": 3, "oldest_snapshot": place, "trim_keeps_from": 4}
        empty = {"partition": 1, "blocks": 0, "bytes": 0, "first": None, "last": None}
        empty |= {"snapshots": 0, "oldest_snapshot": None, "trim_keeps_from": 1}
        away = {"partition": 2, "error": "partition 2 is recovering"}
        return _ok({"max_age_seconds": 60, "max_bytes": None, "partitions": [full, empty, away]})

    def _delete(self, request: Request) -> Answer:
        self.entities.pop(_named(request), None)
        return _ok({"entity_id": _named(request), "eventId": "event-d"}, {"Flux-Position": "p-7"})

    def _get_many(self, request: Request) -> Answer:
        ids = request.json["ids"]
        found = [self._entity(entity_id) for entity_id in ids if entity_id in self.entities]
        missing = [entity_id for entity_id in ids if entity_id not in self.entities]
        return _ok({"entities": found, "missing": missing})

    def _health(self, request: Request) -> Answer:
        return _ok({"status": "ok", "partitions": {"ready": 4, "recovering": 0}, "version": "0"})

    def _connectors(self, request: Request) -> Answer:
        return _ok({"connectors": [{"name": "github", "enabled": False, "status": "not_configured"}]})

    def _config(self, request: Request) -> Answer:
        if request.method == "PUT":
            self.config |= request.json
        return _ok(self.config)

    def _entity(self, entity_id: str) -> dict[str, Any]:
        return {"id": entity_id, "properties": self.entities[entity_id], "lastUpdated": _UPDATED}

    def _apply(self, event: dict[str, Any]) -> dict[str, Any]:
        entity_id, properties = event["payload"]["entity_id"], event["payload"]["properties"]
        event_id = event.get("eventId") or f"event-{len(self.events)}"
        self.events.append(event | {"eventId": event_id, "timestamp": 1_900_000_000_000 + len(self.events)})
        if properties.get("__deleted__") is True:
            self.entities.pop(entity_id, None)
        else:
            self.entities.setdefault(entity_id, {}).update(properties)
        return {"eventId": event_id, "stream": event["stream"]}

    def _publish(self, request: Request) -> Answer:
        answer = self._apply(request.json)
        if request.parameters.get("wait") == "applied":
            answer["entity"] = self._entity(request.json["payload"]["entity_id"])
        return _ok(answer, {"Flux-Position": "p-7"})

    def _batch(self, request: Request) -> Answer:
        results = []
        for event in request.json["events"]:
            if event.get("stream") == "Bad":
                results.append({"eventId": None, "stream": "Bad", "error": "stream must be lower-case"})
            else:
                results.append(self._apply(event) | {"error": None})
        failed = sum(result["error"] is not None for result in results)
        return _ok({"successful": len(results) - failed, "failed": failed, "results": results})

    def _history(self, request: Request) -> Answer:
        asked = request.parameters
        mine = [event for event in self.events if event["payload"]["entity_id"] == asked["entity"]]
        first, limit = int(asked.get("cursor", "0")), int(asked.get("limit", "100"))
        page, headers = mine[::-1][first : first + limit], {}
        if first + limit < len(mine):
            query = urlencode(asked | {"cursor": str(first + limit)})
            headers = {"Link": f'</api/events?{query}>; rel="next"'}
        elif self.forgot:
            headers = {"Flux-History-From": _UPDATED}
        return _ok(page, headers)

    def _list(self, request: Request) -> Answer:
        asked = request.parameters
        prefix, namespace = asked.get("prefix", ""), asked.get("namespace")
        found = [
            {"id": entity_id, "properties": properties, "lastUpdated": _UPDATED}
            for entity_id, properties in sorted(self._then(request).items())
            if entity_id.startswith(prefix) and (namespace is None or entity_id.startswith(f"{namespace}/"))
        ]
        if asked.get("count") == "true":
            return _ok({"count": len(found)})
        if self.lines and request.headers.get("accept") == "application/x-ndjson":
            lines = "".join(json.dumps(entity, ensure_ascii=False) + "\n" for entity in found)
            return Answer(200, lines.encode(), {"Content-Type": "application/x-ndjson"})
        return _ok(found)

    def _delete_many(self, request: Request) -> Answer:
        match request.json:
            case {"entity_ids": ids, **rest} if not rest:
                pass
            case {"prefix": prefix, **rest} if not rest:
                ids = [entity_id for entity_id in self.entities if entity_id.startswith(prefix)]
            case {"namespace": namespace, **rest} if not rest:
                ids = [entity_id for entity_id in self.entities if entity_id.startswith(f"{namespace}/")]
            case _:
                return _error(400, "give exactly one of namespace, prefix and entity_ids")
        for entity_id in ids:
            self.entities.pop(entity_id, None)
        return _ok({"deleted": len(ids), "failed": 0, "errors": []})


@contextmanager
def contract_server() -> Iterator[ContractServer]:
    """Run a server on a free port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            headers = {name.lower(): value for name, value in self.headers.items()}
            answer = server.respond(Request(self.command, self.path, headers, body))
            self.send_response(answer.status)
            length = len(answer.body) if answer.promised_bytes is None else answer.promised_bytes
            defaults = {
                "Content-Type": "application/json",
                "Content-Length": str(length),
                "Connection": "close",
            }
            for name, value in (defaults | answer.headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - the names that http.server calls

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as http.server has it
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listener:
        server = ContractServer(f"http://127.0.0.1:{listener.server_port}")
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        try:
            yield server
        finally:
            listener.shutdown()
            thread.join()


def _named(request: Request) -> str:
    return unquote(request.path.removeprefix(f"{_ENTITIES}/"), errors="strict")


def _ok(value: object, headers: dict[str, str] | None = None) -> Answer:
    return Answer(200, json.dumps(value).encode(), headers or {})


def _error(status: int, message: str) -> Answer:
    return Answer(status, json.dumps({"error": message}).encode())
