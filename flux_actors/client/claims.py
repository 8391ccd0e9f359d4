"""Claims of a server: taking, renewing and releasing what one holder at a time may work on."""

from __future__ import annotations

import msgspec

from flux_actors.client.http import FluxClient
from flux_actors.client.wire import decode_answer


class Claim(msgspec.Struct, frozen=True):
    """A claim that somebody has; each later one on its entity has a greater token."""

    entity_id: str
    holder: str
    token: int
    expires_at: str


class _Release(msgspec.Struct, frozen=True):
    released: bool


class Claims:
    """The claims of a server."""

    def __init__(self, client: FluxClient) -> None:
        self._client = client

    def take(
        self,
        entity_id: str,
        holder: str,
        ttl_ms: int,
        *,
        token: int | None = None,
        event_id: str | None = None,
    ) -> Claim:
        """Take a claim, or renew the one that the holder has; with `token` it is only renewed.

        Raises:
            Refused: 409, somebody else has it; the text says who.
        """
        body = {"entity_id": entity_id, "holder": holder, "ttl_ms": ttl_ms}
        more = {"token": token, "eventId": event_id}
        body |= {name: value for name, value in more.items() if value is not None}
        return decode_answer(self._client.send("POST", "/api/claims", body=body), Claim)

    def release(self, entity_id: str, holder: str, *, token: int | None = None) -> bool:
        """Let a claim go; return whether the holder had it. Raises `Refused` as `take` does."""
        parameters = {"entity_id": entity_id, "holder": holder}
        if token is not None:
            parameters["token"] = str(token)
        answer = self._client.send("DELETE", "/api/claims", parameters=parameters)
        return decode_answer(answer, _Release).released
