"""The HTTP client: what the server's HTTP surface offers, as methods.

An answer that is no 2xx becomes an error of the tree, with the server's own words: 4xx is `Refused` with
its status, 5xx is `Unavailable`, and so is a connection that fails. Nothing is retried here: a caller who
wants to may send the same event again with the same `event_id`, which the server applies once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypedDict, TypeVar, Unpack

import httpx
import msgspec

from flux_actors.client import DEFAULT_URL
from flux_actors.client.address import bearer, checked_url, error_text, more_of, unreachable
from flux_actors.client.answers import BatchAnswer, DeletedEntity, Deletion, Found, HistoryPart, Published
from flux_actors.client.wire import (
    ENTITIES,
    NDJSON,
    connections,
    decode_answer,
    encode_body,
    entities_of,
    entity_path,
)
from flux_actors.domain.entity import EntityBody
from flux_actors.errors import Refused, Unavailable

_POSITION: Final = "Flux-Position"
_HISTORY_FROM: Final = "Flux-History-From"
_HISTORY_DEFAULT: Final = 100  # of the server
_HISTORY_MAX: Final = 500  # that the server gives at once
_TIMEOUT_S: Final = 60.0  # the past may take as long

_Receipt = TypeVar("_Receipt", bound=msgspec.Struct)


class EventOptions(TypedDict, total=False):
    """What an event may have beside its properties."""

    source: str
    stream: str
    event_id: str  # the same one again is applied once: makes a retry safe
    condition: Mapping[str, Any]  # `{"etag": position}` or `{"absent": True}`
    ttl_ms: int  # the entity ends after that time unless it is renewed


def new_event(
    entity_id: str, properties: Mapping[str, Any], **options: Unpack[EventOptions]
) -> dict[str, Any]:
    """Return an event as `publish_batch` takes it; the server decides its time and a missing `event_id`."""
    payload: dict[str, Any] = {"entity_id": entity_id, "properties": dict(properties)}
    if "ttl_ms" in options:
        payload["ttl_ms"] = options["ttl_ms"]
    event = {
        "stream": options.get("stream", "client"),
        "source": options.get("source", "flux-client"),
        "payload": payload,
    }
    if "event_id" in options:
        event["eventId"] = options["event_id"]
    if "condition" in options:
        event["condition"] = options["condition"]
    return event


class FluxClient:
    """One server's HTTP surface; a context manager that keeps its connections open in between.

    Arguments:
        url: where Flux listens, such as `http://localhost:3000`.
        token: the namespace's token, sent as `Authorization: Bearer`.
        admin_token: the token for the admin config, sent in its place there.
        timeout_s: seconds until a silent server counts as unavailable.
        authorities: a PEM file of the authorities to trust under https; those of this machine if `None`.

    Every method raises `Refused` (4xx) or `Unavailable` (5xx, no connection).
    """

    def __init__(
        self,
        url: str = DEFAULT_URL,
        token: str | None = None,
        admin_token: str | None = None,
        timeout_s: float = _TIMEOUT_S,
        authorities: Path | None = None,
    ) -> None:
        self.url = checked_url(url)
        self._authorization = bearer(token)
        self.admin_authorization = bearer(admin_token) or self._authorization
        self._http = connections(self.url, timeout_s, authorities)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- writing -----------------------------------------------------------------------------------

    def publish(
        self,
        entity_id: str,
        properties: Mapping[str, Any],
        *,
        wait_applied: bool = False,
        **options: Unpack[EventOptions],
    ) -> Published:
        """Publish one event and return when it is durable, or with `wait_applied` when it is visible.

        Raises:
            Refused: 412 when a condition was not met; `more["entity"]` is what stands there instead.
        """
        event = new_event(entity_id, properties, **options)
        response = self.send(
            "POST", "/api/events", body=event, parameters=_waiting(wait_applied=wait_applied)
        )
        return _receipt(response, Published)

    def publish_batch(
        self, events: Iterable[Mapping[str, Any]], *, atomic: bool = False, wait_applied: bool = False
    ) -> BatchAnswer:
        """Publish events (see `new_event`) in one request; each fails alone unless `atomic`."""
        parameters = _waiting(wait_applied=wait_applied) | ({"atomic": "true"} if atomic else {})
        body = {"events": [*events]}
        response = self.send("POST", "/api/events/batch", body=body, parameters=parameters)
        return _receipt(response, BatchAnswer)

    def delete(self, entity_id: str, *, wait_applied: bool = False) -> DeletedEntity:
        """Delete one entity; deleting an absent one succeeds too."""
        response = self.send("DELETE", entity_path(entity_id), parameters=_waiting(wait_applied=wait_applied))
        return _receipt(response, DeletedEntity)

    def delete_many(
        self,
        *,
        namespace: str | None = None,
        prefix: str | None = None,
        entity_ids: Iterable[str] | None = None,
        wait_applied: bool = False,
    ) -> Deletion:
        """Delete by exactly one of a namespace, a prefix or a list of ids."""
        given = {
            "namespace": namespace,
            "prefix": prefix,
            "entity_ids": None if entity_ids is None else [*entity_ids],
        }
        body = {name: value for name, value in given.items() if value is not None}
        response = self.send(
            "POST", f"{ENTITIES}/delete", body=body, parameters=_waiting(wait_applied=wait_applied)
        )
        return _receipt(response, Deletion)

    # -- reading -----------------------------------------------------------------------------------

    def get(
        self,
        entity_id: str,
        *,
        at_least: str | None = None,
        at: datetime | str | None = None,
        fields: Iterable[str] | None = None,
    ) -> EntityBody:
        """Return an entity; with `at_least`, a `position`, as it was then or is later.

        With `at`, a time (RFC 3339 text, or a datetime with a zone) or a position, it is as it was then; with
        `fields` it has these properties alone.

        Raises:
            Refused: 404 when there is, or was, no such entity; 410 when that past is gone.
        """
        headers = {_POSITION: at_least} if at_least else {}
        parameters = _given(at=_time_text(at), fields=_joined(fields))
        response = self.send("GET", entity_path(entity_id), parameters=parameters, headers=headers)
        return decode_answer(response, EntityBody)

    def get_many(self, entity_ids: Iterable[str]) -> Found:
        """Return several entities with one request."""
        return decode_answer(self.send("POST", f"{ENTITIES}/get", body={"ids": [*entity_ids]}), Found)

    def list(
        self,
        *,
        namespace: str | None = None,
        prefix: str | None = None,
        where: str | None = None,
        fields: Iterable[str] | None = None,
        at: datetime | str | None = None,
    ) -> Iterator[EntityBody]:
        """Yield the entities sorted by id while they arrive; all filters that are given must hold.

        `where` is a condition on properties, such as `battery < 0.2 and exists(owner)`. With `fields` they
        have these properties alone. With `at`, a time or a position, they are those that were there then.
        """
        then = _time_text(at)
        with (
            self._errors_in_our_words(),
            self._http.stream(
                "GET",
                self.url + ENTITIES,
                params=_given(
                    namespace=namespace, prefix=prefix, where=where, fields=_joined(fields), at=then
                ),
                headers=_headers(self._authorization, {"Accept": NDJSON}),
            ) as response,
        ):
            self._check(response)
            yield from entities_of(response)

    def count(
        self,
        *,
        namespace: str | None = None,
        prefix: str | None = None,
        where: str | None = None,
        at: datetime | str | None = None,
    ) -> int:
        """Return how many entities `list` would yield."""
        parameters = _given(namespace=namespace, prefix=prefix, where=where, at=_time_text(at), count="true")
        return decode_answer(self.send("GET", ENTITIES, parameters=parameters), dict[str, int])["count"]

    def history(
        self,
        entity_id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> Sequence[dict[str, Any]]:
        """Return the raw events of an entity, newest first; the server's default is 100 of the last day.

        `since` is inclusive, `until` exclusive: RFC 3339 text, or a datetime with a zone. `limit` may be more
        than what the server gives at once.
        """
        parts = self.history_parts(entity_id, since=since, until=until, limit=limit)
        return [event for part in parts for event in part.events]

    def history_parts(
        self,
        entity_id: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> Iterator[HistoryPart]:
        """Yield what `history` returns as it comes, each part with the time since when nothing is missing."""
        left = _HISTORY_DEFAULT if limit is None else limit
        parameters: dict[str, str] | None = _given(
            entity=entity_id,
            since=_time_text(since),
            until=_time_text(until),
            limit=None if limit is None else str(min(limit, _HISTORY_MAX)),
        )
        path: str | None = "/api/events"
        while path is not None:
            response = self.send("GET", path, parameters=parameters)
            part = HistoryPart(
                decode_answer(response, list[dict[str, Any]])[:left], response.headers.get(_HISTORY_FROM)
            )
            yield part
            left -= len(part.events)
            path, parameters = response.links.get("next", {}).get("url") if left > 0 else None, None

    # -- the server itself -------------------------------------------------------------------------

    def health(self) -> dict[str, Any]:
        """Return the health report; a server that is not ready raises `Unavailable`."""
        return decode_answer(self.send("GET", "/api/health"), dict[str, Any])

    def log(self) -> dict[str, Any]:
        """Return what the log holds, partition by partition (may need the admin token)."""
        response = self.send("GET", "/api/admin/log", authorization=self.admin_authorization)
        return decode_answer(response, dict[str, Any])

    def connectors(self) -> Sequence[dict[str, Any]]:
        """Return the connectors with their status."""
        return decode_answer(self.send("GET", "/api/connectors"), _Connectors).connectors

    def admin_config(self) -> dict[str, Any]:
        """Return the configuration that can change at run time."""
        return decode_answer(
            self.send("GET", "/api/admin/config", authorization=self.admin_authorization), dict[str, Any]
        )

    def set_admin_config(self, changes: Mapping[str, Any]) -> dict[str, Any]:
        """Change some of the configuration (needs the admin token) and return all of it."""
        response = self.send(
            "PUT", "/api/admin/config", body=dict(changes), authorization=self.admin_authorization
        )
        return decode_answer(response, dict[str, Any])

    # -- one exchange ------------------------------------------------------------------------------

    def send(
        self,
        method: str,
        path: str,
        *,
        body: object = None,
        parameters: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        authorization: str | None = None,
    ) -> httpx.Response:
        """Send a request and return the answer, which is a 2xx and read whole."""
        content = None if body is None else encode_body(body)
        with self._errors_in_our_words():
            response = self._http.request(
                method,
                self.url + path,
                params=parameters,
                content=content,
                headers=_headers(authorization or self._authorization, headers),
            )
        self._check(response)
        return response

    def _check(self, response: httpx.Response) -> None:
        """Raise the error that an answer other than 2xx stands for."""
        if response.is_success:
            return
        response.read()
        message = error_text(response.content) or (
            f"{self.url} answered {response.status_code} without a reason; check that FLUX_URL names a Flux"
        )
        retry_after = response.headers.get("Retry-After", "")
        if response.is_server_error:
            raise Unavailable(message, int(retry_after) if retry_after.isdecimal() else 1)
        headers = {"Retry-After": retry_after} if retry_after else None
        raise Refused(message, response.status_code, headers, more_of(response.content))

    @contextmanager
    def _errors_in_our_words(self) -> Iterator[None]:
        """Turn what httpx raises into one sentence that says what to do."""
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.InvalidURL) as error:
            raise unreachable(self.url, error) from None
        except httpx.TimeoutException:
            raise Unavailable(f"Flux at {self.url} took too long to answer; try again") from None
        except (httpx.TransportError, httpx.DecodingError):
            raise Unavailable(f"the connection to Flux at {self.url} broke; try again") from None
        except UnicodeEncodeError:
            raise Refused("what is sent to Flux must be valid Unicode text") from None


class _Connectors(msgspec.Struct):
    connectors: list[dict[str, Any]]


def _headers(authorization: str | None, more: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**(more or {}), **({"Authorization": authorization} if authorization else {})}


def _waiting(*, wait_applied: bool) -> dict[str, str]:
    return {"wait": "applied"} if wait_applied else {}


def _given(**parameters: str | None) -> dict[str, str]:
    return {name: value for name, value in parameters.items() if value is not None}


def _receipt(response: httpx.Response, shape: type[_Receipt]) -> _Receipt:
    """Return what the server said about a write, with the write's position from the header."""
    return msgspec.structs.replace(decode_answer(response, shape), position=response.headers.get(_POSITION))


def _joined(names: Iterable[str] | None) -> str | None:
    return None if names is None else ",".join(names)


def _time_text(time: datetime | str | None) -> str | None:
    if not isinstance(time, datetime):
        return time
    if time.tzinfo is None:
        raise Refused("a time needs a zone: use datetime.now(UTC) or RFC 3339 text")
    return time.isoformat()
