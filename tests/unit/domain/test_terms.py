from __future__ import annotations

from typing import Any

import pytest

from flux_actors.domain.position import pack
from flux_actors.domain.terms import ABSENT, ACQUIRE, PRESENT, Claim, Terms, read_condition, terms_of
from flux_actors.errors import Refused


@pytest.mark.parametrize("terms", [Terms(), Terms(ttl_ms=5), Terms(expires_us=5), Terms(owner="o")])
def test_only_conditions_claims_and_groups_are_waited_for(terms: Terms) -> None:
    assert not terms.decides
    assert Terms(condition=ABSENT).decides
    assert Terms(together=1).decides
    assert Terms(claim=Claim(ACQUIRE, "me")).decides


ENTITY = {"entity_id": "a/b", "properties": {"n": 1}}


@pytest.mark.parametrize("ttl_ms", [-1, True, 1.5, "5", [], 1 << 62])
def test_a_time_to_live_is_a_whole_number_of_milliseconds(ttl_ms: Any) -> None:
    for more in ({"ttl_ms": ttl_ms}, {"property_ttl_ms": {"n": ttl_ms}}, {"property_ttl_ms": ttl_ms}):
        with pytest.raises(Refused, match="ttl_ms"):
            terms_of(ENTITY | more)


def test_terms_are_what_a_payload_asks_for() -> None:
    assert terms_of(ENTITY) is None
    assert terms_of(ENTITY | {"ttl_ms": None, "property_ttl_ms": None}) is None
    assert terms_of(ENTITY | {"ttl_ms": 0}) == Terms(ttl_ms=0)
    assert terms_of(ENTITY | {"property_ttl_ms": {"n": 5}}) == Terms(property_ttl_ms={"n": 5})
    assert terms_of(ENTITY, ABSENT) == Terms(condition=ABSENT)


def test_an_event_of_no_entity_may_hold_what_it_likes() -> None:
    assert terms_of({"ttl_ms": "soon", "property_ttl_ms": 5}) is None
    with pytest.raises(Refused, match="entity_id"):
        terms_of({}, ABSENT)


def test_a_condition_is_read_from_an_etag_with_quotes_or_without() -> None:
    for text in ('"1.7.3"', "1.7.3"):
        assert read_condition({"etag": text}) == (1, pack(7, 3))
    assert read_condition({"absent": True}) == ABSENT
    assert read_condition({"present": True}) == PRESENT


@pytest.mark.parametrize(
    "value",
    [None, 5, {}, {"absent": 1}, {"etag": "x"}, {"etag": "0.1.0~1.1.0"}, {"etag": "0.1.0", "absent": True}],
)
def test_what_states_no_condition_is_refused(value: Any) -> None:
    with pytest.raises(Refused):
        read_condition(value)


@pytest.mark.parametrize("ttl_ms", [0, 5])
def test_the_lease_of_a_claim_is_for_claims_alone_to_set(ttl_ms: int) -> None:
    with pytest.raises(Refused, match="/api/claims"):
        terms_of(ENTITY | {"property_ttl_ms": {"n": 5, "claim": ttl_ms}})
