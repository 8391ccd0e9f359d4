"""The bodies of answers to publishes, the same bytes whichever way the request came in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from flux_actors.domain.event import Envelope, Event
from flux_actors.errors import FluxError
from flux_api.submission import Published, Submission


class _EventAnswer(msgspec.Struct, frozen=True, rename="camel"):
    event_id: str
    stream: str


class _Result(msgspec.Struct, frozen=True, rename="camel"):
    event_id: str | None
    stream: str | None
    error: str | None


class _BatchAnswer(msgspec.Struct, frozen=True):
    successful: int
    failed: int
    results: list[_Result]


_encode = msgspec.json.Encoder().encode


def event_answer(done: Published) -> bytes:
    """Return the body for one durable event."""
    return _encode(_EventAnswer(done.event.event_id, done.event.stream))


def batch_answer(bodies: Sequence[Any], submission: Submission) -> bytes:
    """Return the body for a batch: what became of each event, in the order of the request."""
    results = _results(bodies, submission.events)
    failed = submission.failed
    return _encode(_BatchAnswer(len(results) - failed, failed, results))


def batch_answer_part(said: Sequence[Any], events: Sequence[Event | FluxError], *, first: bool) -> bytes:
    """Return what a batch's answer tells of some of its events, which were bodies or events before."""
    return (b"" if first else b",") + _encode(_results(said, events))[1:-1]


def batch_answer_of(parts: list[bytes], events: int, failed: int) -> list[bytes]:
    """Return the body for a batch of whose answer these are the parts, still in parts."""
    return [b'{"successful":%d,"failed":%d,"results":[' % (events - failed, failed), *parts, b"]}"]


def _results(said: Sequence[Any], events: Sequence[Event | FluxError]) -> list[_Result]:
    return [
        _Result(event.event_id, event.stream, None)
        if isinstance(event, Event)
        else _failure(body, event.message)
        for body, event in zip(said, events, strict=True)
    ]


def _failure(body: Any, reason: str) -> _Result:
    """Return the result of an event that failed, with what it said of itself as far as that is text."""
    event_id: Any
    stream: Any
    if isinstance(body, Event):
        event_id, stream = body.event_id if body.named_by_client else None, body.stream
    elif isinstance(body, Envelope):
        event_id, stream = body.event_id, body.stream
    else:
        given = body if isinstance(body, dict) else {}
        event_id, stream = given.get("eventId"), given.get("stream")
    return _Result(
        event_id if isinstance(event_id, str) and event_id else None,
        stream if isinstance(stream, str) else None,
        reason,
    )
