"""Batched reads of a stream that keeps the newest message of each subject: one request, many answers."""

from __future__ import annotations

from typing import Final, NamedTuple

import msgspec
from nats.aio.client import Client

from flux_actors.errors import Unavailable

_TIMEOUT_S: Final = 5.0
_BATCH: Final = 1_000
_ENDS: Final = ("204", "404")  # of a batch; of the stream


class Found(NamedTuple):
    """A message of a stream."""

    subject: str
    sequence: int
    data: bytes
    headers: dict[str, str]


async def found_behind(client: Client, stream: str, subjects: str, after: int) -> list[Found]:
    """Return all messages of some subjects behind a sequence, oldest first; of a subject, older ones too.

    Raises:
        Unavailable: the stream cannot be read. What nats-py raises goes through.
    """
    found: list[Found] = []
    while more := await _batch(client, stream, subjects, found[-1].sequence if found else after):
        found += more
    return found


async def _batch(client: Client, stream: str, subjects: str, after: int) -> list[Found]:
    """Return the first messages behind a sequence; none at the end."""
    request = {"seq": after + 1, "batch": _BATCH, "next_by_subj": subjects}
    inbox = client.new_inbox()
    answers = await client.subscribe(inbox)
    try:
        subject = f"$JS.API.DIRECT.GET.{stream}"
        await client.publish(subject, msgspec.json.encode(request), reply=inbox)
        found: list[Found] = []
        while True:
            answer = await answers.next_msg(timeout=_TIMEOUT_S)
            headers = answer.headers or {}
            status = headers.get("Status")
            if status in _ENDS:
                return found
            if status is not None:
                raise Unavailable("the log's key-value store cannot be reached")
            sequence = int(headers["Nats-Sequence"])
            found.append(Found(headers["Nats-Subject"], sequence, bytes(answer.data), headers))
    finally:
        await answers.unsubscribe()
