from __future__ import annotations

import pytest

from flux_actors.domain.clock import iso_of
from flux_actors.domain.event import Event
from flux_actors.domain.position import pack
from flux_actors.domain.terms import ACQUIRE, RELEASE, RENEW, Claim, Terms
from tests.unit.domain.small_log import MS, Log, ended, event


def claim(verb: str, holder: str, token: int | None = None, ttl_ms: int = 50) -> Event:
    return event(None, Terms(claim=Claim(verb, holder, ttl_ms, token)))


def test_claim_has_one_holder_until_it_is_released() -> None:
    log = Log()
    log.put(claim(ACQUIRE, "me"), clock_ms=100)
    assert log.entity == {
        "claim": {"holder": "me", "token": pack(1, 0), "expires_at": "1970-01-01T00:00:00.150000+00:00"}
    }
    assert log.put(claim(ACQUIRE, "you"), clock_ms=110).refused == [pack(2, 0)]
    assert log.put(claim(RELEASE, "you", pack(1, 0)), clock_ms=110).refused == [pack(3, 0)]
    assert log.put(claim(RELEASE, "me", pack(1, 0)), clock_ms=110).refused == []
    assert log.entity == {"claim": None}
    log.put(claim(ACQUIRE, "you"), clock_ms=110)
    assert (log.entity or {})["claim"]["token"] == pack(5, 0)


def test_claim_that_ran_out_is_free_by_the_clock_before_it_is_ended() -> None:
    log = Log()
    log.put(claim(ACQUIRE, "me"), clock_ms=100)
    assert log.put(claim(RENEW, "me", pack(1, 0)), clock_ms=150).refused == [pack(2, 0)]
    assert log.put(claim(ACQUIRE, "you"), clock_ms=150).refused == []
    ended(log, "claim", 150, 160)
    assert (log.entity or {})["claim"]["holder"] == "you"


def test_renewed_claim_keeps_its_token() -> None:
    log = Log()
    log.put(claim(ACQUIRE, "me"), clock_ms=100)
    log.put(claim(RENEW, "me", pack(1, 0)), clock_ms=140)
    held = (log.entity or {})["claim"]
    assert (held["token"], held["expires_at"]) == (pack(1, 0), iso_of(190 * MS))
    assert log.put(claim(ACQUIRE, "you"), clock_ms=189).refused == [pack(3, 0)]


@pytest.mark.parametrize("said", ["x", 7, {}, {"holder": "me"}, {"holder": "me", "token": 5}])
def test_what_a_client_wrote_as_claim_is_none_whatever_lease_it_asked_for(said: object) -> None:
    log = Log()
    log.put(event({"claim": said}, Terms(property_ttl_ms={"claim": 50})), clock_ms=100)
    assert log.put(claim(RENEW, "me", 5), clock_ms=110).refused == [pack(2, 0)]
    assert log.put(claim(RELEASE, "me", 5), clock_ms=110).refused == [pack(3, 0)]
    assert log.put(claim(ACQUIRE, "me"), clock_ms=110).refused == []
    assert (log.entity or {})["claim"]["token"] == pack(4, 0)


def test_no_lease_of_a_client_cuts_a_claim_short() -> None:
    log = Log()
    log.put(claim(ACQUIRE, "me"), clock_ms=100)
    for ttl_ms in (0, 1):
        log.put(event({"n": 1}, Terms(property_ttl_ms={"claim": ttl_ms})), clock_ms=110)
    assert log.put(claim(ACQUIRE, "you"), clock_ms=149).refused == [pack(4, 0)]
