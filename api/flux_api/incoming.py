"""From a client's bytes to the JSON objects of events, typed where they are what they should be.

Nearly every body decodes straight into `Envelope`s. One that does not (no JSON, no object, nested deep, with
fields that nobody knows) is read again in the general way, which finds the words for what is wrong with it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.domain.event import Envelope, Event
from flux_actors.domain.json_text import check_depth, not_json, openers_of, parse_json
from flux_actors.errors import FluxError, Refused

_ANY_DEPTH: Final = 1 << 30  # each event of a batch is measured alone, so that one fails alone
_FAULTS: Final = (msgspec.DecodeError, UnicodeError, RecursionError, ValueError)
_PLACE: Final = re.compile(r" \(byte \d+\)\Z")
_NO_BATCH: Final = 'a batch must be {"events": […]} or a JSON array of events'
_PLAIN_OPENERS: Final = 3  # an event, its payload, its properties
_WRAPPER_OPENERS: Final = 2  # the batch and its list


class _Plain(Envelope, forbid_unknown_fields=True, gc=False):
    """An event with no field but those that count: of others not even the JSON would be checked."""


class _Named(Envelope, gc=False):
    """An event of which only what it is called counts."""

    payload: msgspec.Raw = msgspec.Raw(b"null")


class _Batch(msgspec.Struct, forbid_unknown_fields=True):
    events: list[_Plain]


class _RawBatch(msgspec.Struct):
    events: list[msgspec.Raw]


_decode_envelope: Final = msgspec.json.Decoder(_Plain).decode
_decode_batch: Final = msgspec.json.Decoder(_Batch | list[_Plain]).decode
_decode_list: Final = msgspec.json.Decoder(list[_Plain]).decode
_decode_names: Final = msgspec.json.Decoder(list[_Named]).decode
_decode_raws: Final = msgspec.json.Decoder(_RawBatch | list[msgspec.Raw]).decode


def envelope_of(value: Any) -> Envelope:
    """Return the envelope of a JSON value.

    Raises:
        Refused: the value is no object.
    """
    if isinstance(value, Envelope):
        return value
    if not isinstance(value, dict):
        raise Refused("an event must be a JSON object")
    return msgspec.convert(value, Envelope)


def read_event(body: bytes | bytearray) -> Envelope:
    """Return the envelope of one event.

    Raises:
        Refused: the body is no JSON object, or nests too deep.
    """
    if openers_of(body) <= limits.json_depth_max:
        try:
            return _decode_envelope(body)
        except _FAULTS:
            return envelope_of(parse_json(body))  # it says what is wrong
    return envelope_of(parse_json(body))


def read_batch(body: bytes | bytearray) -> Sequence[Any]:
    """Return the events of a batch, as envelopes if all of them are objects, else as JSON values.

    Raises:
        Refused: the body is no batch.
    """
    try:
        batch = _decode_batch(body)
    except _FAULTS:
        return _events_of(parse_json(body, _ANY_DEPTH))
    return _some(batch.events if isinstance(batch, _Batch) else batch)


def read_some(text: bytes) -> list[Any]:
    """Return the events of a JSON list, as `read_batch` does, and none of an empty one."""
    try:
        return list(_decode_list(text))
    except _FAULTS:
        events: list[Any] = parse_json(text, _ANY_DEPTH)
        return events


def read_names(text: bytes) -> list[Any]:
    """Return the events of a JSON list with nothing but what they are called: a quarter of reading them."""
    try:
        return list(_decode_names(text))
    except _FAULTS:
        return read_some(text)


def decode_raws(body: bytes | bytearray) -> list[msgspec.Raw]:
    """Return the JSON of each event of a batch, which is not looked into.

    Raises:
        Refused: the body is no batch.
    """
    try:
        batch = _decode_raws(body)
    except msgspec.ValidationError:
        raise Refused(_NO_BATCH) from None
    except _FAULTS as error:
        raise not_json(error) from None
    return batch.events if isinstance(batch, _RawBatch) else batch


def refuse_too_many(events: int) -> None:
    """Raise `Refused` (413) for a batch of more events than one may hold."""
    if events > limits.batch_events_max:
        raise Refused(f"a batch may hold at most {limits.batch_events_max} events; split it", 413)


def no_json(error: Refused) -> Refused:
    """Return the refusal of a body of which a part is no JSON: where that is, the part cannot tell."""
    return Refused(_PLACE.sub("", error.message), error.status)


def too_deep(body: bytes | bytearray, events: Sequence[Event | FluxError]) -> dict[int, Refused]:
    """Return the refusals of those envelopes of a batch whose JSON nests too deep, by their number.

    A plain event opens three objects. When every event has these and the body opens no more, none is deep;
    otherwise each is looked at.
    """
    openers = openers_of(body)
    if openers <= limits.json_depth_max or (
        openers <= _PLAIN_OPENERS * len(events) + _WRAPPER_OPENERS
        and all(isinstance(event, Event) and event.properties is not None for event in events)
    ):
        return {}
    batch = _decode_raws(body)
    raws = map(bytes, batch.events if isinstance(batch, _RawBatch) else batch)
    found = {number: _refusal_of_depth(raw) for number, raw in enumerate(raws)}
    return {number: refusal for number, refusal in found.items() if refusal is not None}


def _refusal_of_depth(event: bytes) -> Refused | None:
    if openers_of(event) <= limits.json_depth_max:
        return None
    try:
        check_depth(msgspec.json.decode(event))
    except Refused as refusal:
        return refusal
    return None


def _events_of(body: Any) -> list[Any]:
    events = body.get("events") if isinstance(body, dict) else body
    if not isinstance(events, list):
        raise Refused(_NO_BATCH)
    return _some(events)


def _some(events: list[Any]) -> list[Any]:
    if not events:
        raise Refused("a batch must hold at least one event")
    refuse_too_many(len(events))
    return events
