"""Gmail: a mailbox's totals and its labels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flux_actors.connectors.base import Answer, Context, judge
from flux_actors.connectors.gmail import Gmail
from flux_actors.errors import Corrupt, Refused
from tests.unit.connectors.fake_parts import NOW_S, ScriptedWeb

BASE = "https://gmail.googleapis.com/gmail/v1/users/me"
LABEL = {"id": "INBOX", "name": "INBOX", "messagesTotal": 9, "messagesUnread": 2, "threadsTotal": 8}
ANSWERS: dict[str, Any] = {
    f"{BASE}/profile": {"emailAddress": "me@example.com", "messagesTotal": 10, "threadsTotal": 9},
    f"{BASE}/labels": {"labels": [{"id": "INBOX", "name": "INBOX"}]},
    f"{BASE}/labels/INBOX": LABEL | {"threadsUnread": 1},
}


async def poll(answers: dict[str, Any], status: int = 200) -> tuple[dict[str, Any], ScriptedWeb]:
    web = ScriptedWeb(lambda url, _: Answer(status, {}, json.dumps(answers[url]).encode()))
    context = Context(web, "ya29.token", {}, {}, lambda: NOW_S, judge)
    return dict([pair async for pair in Gmail().poll(context)]), web


async def test_the_mailbox_and_its_labels_become_entities():
    found, web = await poll(ANSWERS)
    assert found == {
        "mailbox": {"address": "me@example.com", "messages": 10, "threads": 9},
        "labels/INBOX": {"name": "INBOX", "messages": 9, "unread": 2, "threads": 8, "unread_threads": 1},
    }
    assert all(headers == {"Authorization": "Bearer ya29.token"} for _, headers in web.asked)


async def test_a_token_that_is_over_is_refused():
    with pytest.raises(Refused, match="401"):
        await poll(ANSWERS, 401)


@pytest.mark.parametrize(
    "change",
    [
        {f"{BASE}/profile": []},
        {f"{BASE}/labels": {"labels": [7]}},
        {f"{BASE}/labels": {"labels": [{"id": "../../x"}]}},
        {f"{BASE}/labels/INBOX": 7},
    ],
)
async def test_what_makes_no_sense_is_told(change):
    with pytest.raises(Corrupt):
        await poll(ANSWERS | change)


async def test_a_mailbox_without_labels_is_one_entity():
    assert list((await poll(ANSWERS | {f"{BASE}/labels": {}}))[0]) == ["mailbox"]


async def test_there_is_a_bound_to_the_labels():
    many = {f"{BASE}/labels/L{n}": LABEL for n in range(80)}
    listed = {f"{BASE}/labels": {"labels": [{"id": f"L{n}"} for n in range(80)]}}
    assert len((await poll(ANSWERS | listed | many))[0]) == 51
