"""What a client says on a socket: one JSON object, its type decides what the other fields mean."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.domain.event import Envelope
from flux_actors.domain.json_text import check_numbers, openers_of, parse_json
from flux_actors.errors import Refused
from flux_api.watcher import EVERYTHING

_FAULTS: Final = (msgspec.DecodeError, UnicodeError, RecursionError, ValueError)


class SocketRequest(Envelope, rename={"event_id": "eventId", "from_position": "from"}):
    """A message of any type, before its fields were checked; a publish is its own event."""

    type: Any = None
    id: Any = None
    entity_id: Any = None
    initial: Any = None
    from_position: Any = None
    where: Any = None
    fields: Any = None
    format: Any = None
    batch: Any = None
    live: Any = None
    token: Any = None
    presence: Any = None
    traceparent: Any = None

    @property
    def pattern(self) -> str:
        """The pattern of a subscription; raises `Refused` when there is none."""
        if not isinstance(self.entity_id, str) or not self.entity_id:
            raise Refused(f'entity_id must be an id, "namespace/*" or "{EVERYTHING}"')
        if len(self.entity_id) > limits.entity_id_bytes_max:
            raise Refused(f"entity_id may have at most {limits.entity_id_bytes_max} characters")
        return self.entity_id


_decode: Final = msgspec.json.Decoder(SocketRequest).decode


def read_request(text: bytes) -> SocketRequest:
    """Return the message of a JSON text.

    Raises:
        Refused: it is no JSON object, nests too deep, or its id is a number that cannot be sent back.
    """
    try:
        request = _decode(text) if openers_of(text) <= limits.json_depth_max else _read_anyhow(text)
    except _FAULTS:
        request = _read_anyhow(text)
    if not isinstance(request.id, str):
        check_numbers([request.id])
    return request


def _read_anyhow(text: bytes) -> SocketRequest:
    """Read in the general way, which says what is wrong."""
    value = parse_json(text)
    if not isinstance(value, dict):
        raise Refused('a message must be a JSON object such as {"type":"subscribe","entity_id":"*"}')
    return msgspec.convert(value, SocketRequest)
