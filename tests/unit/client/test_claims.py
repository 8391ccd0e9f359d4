"""Claims: what is asked of the server and what its answers become."""

from __future__ import annotations

import pytest

from flux_actors.client.claims import Claim, Claims
from flux_actors.client.http import FluxClient
from flux_actors.errors import Refused

TAKEN = b'{"entity_id":"work/a","holder":"me","token":7,"expires_at":"T"}'


@pytest.fixture
def claims(flux):
    with FluxClient(flux.url) as client:
        yield Claims(client)


def test_a_claim_is_taken_and_renewed(flux, claims):
    flux.answer_with(200, TAKEN, times=2)
    assert claims.take("work/a", "me", 500, event_id="e") == Claim("work/a", "me", 7, "T")
    assert flux.last.json == {"entity_id": "work/a", "holder": "me", "ttl_ms": 500, "eventId": "e"}
    claims.take("work/a", "me", 500, token=7)
    assert flux.last.json == {"entity_id": "work/a", "holder": "me", "ttl_ms": 500, "token": 7}
    assert (flux.last.method, flux.last.path) == ("POST", "/api/claims")


@pytest.mark.parametrize("released", [True, False])
def test_a_claim_is_released(flux, claims, released):
    flux.answer_with(
        200, b'{"entity_id":"work/a","holder":"me","released":%s}' % str(released).lower().encode()
    )
    assert claims.release("work/a", "me", token=7) is released
    assert (flux.last.method, flux.last.path) == ("DELETE", "/api/claims")
    assert flux.last.parameters == {"entity_id": "work/a", "holder": "me", "token": "7"}


def test_who_has_it_instead_is_told(flux, claims):
    flux.answer_with(409, b'{"error":"work/a is claimed by you","holder":"you","claim":{"token":9}}')
    with pytest.raises(Refused, match="claimed by you") as refusal:
        claims.take("work/a", "me", 500)
    assert (refusal.value.status, refusal.value.more["holder"]) == (409, "you")
