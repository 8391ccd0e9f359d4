"""history, diff and log, run as a user runs them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.cli.past import changes_between
from tests.unit.cli.commands import Run, answer_of, assert_refused
from tests.unit.client.contract_server import ContractServer

PROPERTIES = st.dictionaries(st.sampled_from("abcd"), st.sampled_from([None, 1, 1.5, "x", True, {"a": [1]}]))


def test_history_is_newest_first(run: Run) -> None:
    for number in range(3):
        run("publish", "home/lamp", f"n:={number}")
    events = answer_of(run("history", "home/lamp", "--limit", "2", "-o", "json"))
    assert [event["payload"]["properties"]["n"] for event in events] == [2, 1]
    table = run("history", "home/lamp", "--since", "2030-01-31T08:00:00Z").stdout
    assert table.index("n=2") < table.index("n=0")
    assert "flux-cli" in table


def test_a_long_history_is_read_page_by_page(run: Run, flux: ContractServer) -> None:
    for number in range(1_203):
        flux.events.append({"eventId": str(number), "payload": {"entity_id": "home/lamp"}, "timestamp": 1})
    events = answer_of(run("history", "home/lamp", "--limit", "1100", "--until", "x", "-o", "json"))
    assert [int(event["eventId"]) for event in events] == list(range(1_202, 102, -1))
    asked = [request.parameters for request in flux.requests]
    assert [parameters.get("cursor") for parameters in asked] == [None, "500", "1000"]
    assert {parameters["until"] for parameters in asked} == {"x"}
    assert len(answer_of(run("history", "home/lamp", "-o", "json"))) == 100


def test_a_history_says_where_it_ends(run: Run, flux: ContractServer) -> None:
    run("publish", "home/lamp", "n:=1")
    assert run("history", "home/lamp").stderr == ""
    flux.forgot = True
    result = run("history", "home/lamp")
    assert result.exit_code == 0
    assert "nothing is missing since 2030-01-31T08:00:00" in result.stderr


@pytest.fixture
def lamp(flux: ContractServer) -> None:
    flux.past = {"then": {"home/lamp": {"on": 1, "level": 3, "old": "x", "same": {"a": 1, "b": 2}}}}
    flux.entities = {"home/lamp": {"on": True, "level": 4, "new": None, "same": {"b": 2, "a": 1}}}


def test_diff_shows_what_changed(run: Run, lamp: None) -> None:
    answer = answer_of(run("diff", "home/lamp", "--from", "then", "-o", "json"))
    assert answer["changes"] == [
        {"property": "level", "change": "changed", "from": 3, "to": 4},
        {"property": "new", "change": "added", "to": None},
        {"property": "old", "change": "removed", "from": "x"},
        {"property": "on", "change": "changed", "from": 1, "to": True},
    ]
    assert (answer["id"], answer["from"]["properties"]["on"], answer["to"]["id"]) == (
        "home/lamp",
        1,
        "home/lamp",
    )
    lines = [line.split() for line in run("diff", "home/lamp", "--from", "then").stdout.splitlines()]
    assert ["~", "level", "3", "4"] in lines
    assert ["+", "new", "null"] in lines
    assert ["-", "old", "x"] in lines


def test_diff_between_two_moments(run: Run, flux: ContractServer, lamp: None) -> None:
    flux.past["later"] = {}
    answer = answer_of(run("diff", "home/lamp", "--from", "then", "--to", "later", "-o", "json"))
    assert (answer["to"], {change["change"] for change in answer["changes"]}) == (None, {"removed"})
    assert "→ absent" in run("diff", "home/lamp", "--from", "then", "--to", "later").stdout
    assert (
        run("diff", "home/lamp", "--from", "then", "--to", "then").stdout == "nothing changed in home/lamp\n"
    )
    neither = run("diff", "home/lamp", "--from", "later", "--to", "later")
    assert neither.stdout == "home/lamp existed at neither moment\n"


def test_diff_of_a_past_that_is_gone_fails(run: Run, flux: ContractServer) -> None:
    flux.answer_with(410, b'{"error": "the log was trimmed"}')
    assert_refused(run("diff", "home/lamp", "--from", "then"), "the log was trimmed")


@given(PROPERTIES, PROPERTIES)
def test_changes_lead_from_the_one_to_the_other(old: dict[str, object], new: dict[str, object]) -> None:
    there = dict(old)
    for change in changes_between(old, new):
        if change["change"] == "removed":
            assert there.pop(change["property"]) is change["from"]
        else:
            assert ("from" in change) == (change["property"] in there)
            there[change["property"]] = change["to"]
    assert repr(sorted(there.items())) == repr(sorted(new.items()))
    assert changes_between(new, new) == []


def test_log_shows_each_partition(run: Run, flux: ContractServer) -> None:
    table = run("log", FLUX_ADMIN_TOKEN="secret").stdout
    assert flux.last.headers["authorization"] == "Bearer secret"
    assert "12.3 MB" in table
    assert "3 of 2030-01-31T08:00:00.000001+00:00" in table
    assert "partition 2 is recovering" in table
    assert "forgotten: what is older than 60 s" in table
    assert answer_of(run("log", "-o", "json"))["partitions"][1]["trim_keeps_from"] == 1
