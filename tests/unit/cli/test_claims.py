"""`flux claim`, and publishing on conditions, run as a user runs them."""

from __future__ import annotations

import pytest

from tests.unit.cli.commands import Run, answer_of, assert_refused
from tests.unit.client.contract_server import ContractServer

TAKEN = b'{"entity_id":"work/a","holder":"me","token":7,"expires_at":"2030-01-01T00:00:00+00:00"}'


def test_a_claim_is_taken(run: Run, flux: ContractServer) -> None:
    flux.answer_with(200, TAKEN, times=2)
    result = run("claim", "work/a", "--holder", "me", "--ttl", "2m")
    assert result.stdout == "me has work/a until 2030-01-01T00:00:00+00:00, token 7\n"
    assert flux.last.json == {"entity_id": "work/a", "holder": "me", "ttl_ms": 120_000}
    answer = answer_of(run("claim", "work/a", "--holder", "me", "--token", "7", "-o", "json"))
    assert answer["token"] == flux.last.json["token"] == 7


@pytest.mark.parametrize(("released", "word"), [(b"true", "released work/a"), (b"false", "free already")])
def test_a_claim_is_released(run: Run, flux: ContractServer, released: bytes, word: str) -> None:
    flux.answer_with(200, b'{"entity_id":"work/a","holder":"me","released":%s}' % released, times=2)
    assert word in run("claim", "work/a", "--holder", "me", "--release").stdout
    assert answer_of(run("claim", "work/a", "--holder", "me", "--release", "-o", "json"))["holder"] == "me"


def test_a_claim_of_somebody_else_is_told(run: Run, flux: ContractServer) -> None:
    flux.answer_with(409, b'{"error":"work/a is claimed by you","holder":"you"}')
    assert_refused(run("claim", "work/a", "--holder", "me"), "claimed by you")


def test_what_is_no_time_is_told(run: Run, flux: ContractServer) -> None:
    assert_refused(run("claim", "work/a", "--holder", "me", "--ttl", "soon"), "--ttl: write a time")
    assert_refused(run("publish", "work/a", "n:=1", "--ttl", "soon"), "--ttl: write a time")
    assert flux.requests == []


def test_an_event_is_published_on_a_condition_and_for_a_time(run: Run, flux: ContractServer) -> None:
    run("publish", "work/a", "n:=1", "--if-match", '"0.1.0"', "--ttl", "90s")
    assert flux.last.json["condition"] == {"etag": '"0.1.0"'}
    assert flux.last.json["payload"]["ttl_ms"] == 90_000
    run("publish", "work/a", "n:=1", "--if-absent")
    assert flux.last.json["condition"] == {"absent": True}
    refused = run("publish", "work/a", "n:=1", "--if-absent", "--if-match", '"0.1.0"')
    assert_refused(refused, "either --if-match or --if-absent")
