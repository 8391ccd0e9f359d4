"""Cases against a small server: they measure an honest one and find out every kind of liar."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flux_actors.errors import Corrupt, FluxError, Unavailable
from flux_bench.cases.case import Stage
from flux_bench.lab import Lab
from flux_bench.registry import ALL, chosen

LabOn = Callable[..., Lab]
HERE = [case for case in ALL if case.stage is not Stage.ALONE and not case.own]


@pytest.mark.parametrize("case", HERE, ids=lambda case: case.name)
def test_an_honest_server_gets_a_figure_for_every_row(lab_on: LabOn, case):
    measured = case.measure(lab_on())
    told = {row.key for row in case.rows} - {"memory"}  # of a door that is not ours
    assert told <= measured.values.keys()
    assert all(value > 0 for value in measured.values.values())


@pytest.mark.parametrize(
    ("name", "fault", "words"),
    [
        ("post-32", "forgets", "acknowledged events are missing"),
        ("batch-500", "forgets", "acknowledged events are missing"),
        ("ws-publish", "forgets", "acknowledged events are missing"),
        ("post-1", "twice", "events more were applied than acknowledged"),
        ("ws-publish", "twice", "events more were applied than acknowledged"),
        ("post-32", "keeps old values", "was acknowledged last"),
        ("list", "keeps old values", "was acknowledged last"),
        ("filter", "filters nothing", "the condition holds of"),
        ("get-one", "reads another", "an answer was"),
        ("get-100", "reads another", "is missing, but"),
        ("fan-out", "drops messages", "sockets must get"),
        ("fan-out", "repeats messages", "sockets must get"),
        ("fan-out", "twice", "events more were applied than acknowledged"),
        ("history", "loses history", "the history must be the newest"),
        ("ack-get", "shows late", "did not show the event"),
    ],
)
def test_a_liar_gets_none(lab_on: LabOn, monkeypatch: pytest.MonkeyPatch, name: str, fault: str, words: str):
    (case,) = chosen(name)
    monkeypatch.setattr("flux_bench.cases.live.DRAIN_S", 0.05)
    with pytest.raises(Corrupt, match=words):
        case.measure(lab_on(fault))


def test_what_was_written_to_a_server_of_others_is_deleted(lab_on: LabOn):
    lab = lab_on()
    (case,) = chosen("post-32")
    case.measure(lab)
    assert lab.made
    lab.tidy()
    assert lab.server.expect("GET", "/api/state/entities?count=true").json() == {"count": 0}


def test_a_case_that_needs_a_flux_of_its_own_says_so(lab_on: LabOn):
    (case,) = chosen("restart")
    with pytest.raises(Unavailable, match="starts itself"):
        case.measure(lab_on())


def test_names_of_cases_are_checked():
    assert [case.name for case in chosen("get-one, post-1")] == ["post-1", "get-one"]
    assert chosen(None) == list(ALL)
    with pytest.raises(FluxError, match="there is no case nothing; the cases are post-128"):
        chosen("post-1,nothing")
