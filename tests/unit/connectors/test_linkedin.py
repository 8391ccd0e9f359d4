"""LinkedIn: the token's owner."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flux_actors.connectors.base import Answer, Context, judge
from flux_actors.connectors.linkedin import LinkedIn
from flux_actors.errors import Corrupt
from tests.unit.connectors.fake_parts import NOW_S, ScriptedWeb


async def poll(value: Any, status: int = 200) -> list[Any]:
    web = ScriptedWeb(lambda *_: Answer(status, {}, json.dumps(value).encode()))
    context = Context(web, "token", {}, {}, lambda: NOW_S, judge)
    found = [pair async for pair in LinkedIn().poll(context)]
    assert web.asked == [("https://api.linkedin.com/v2/userinfo", {"Authorization": "Bearer token"})]
    return found


async def test_the_member_becomes_an_entity():
    member = {"sub": "782bbtaQ", "name": "John Doe", "given_name": "John", "family_name": "Doe"}
    assert await poll(member | {"locale": {"country": "US", "language": "en"}}) == [
        (
            "profile",
            {
                "member": "782bbtaQ",
                "name": "John Doe",
                "given_name": "John",
                "family_name": "Doe",
                "picture": None,
                "email": None,
                "locale": {"country": "US", "language": "en"},
            },
        )
    ]


async def test_what_did_not_change_is_nothing():
    assert await poll(None, 304) == []


@pytest.mark.parametrize("value", [[], {}, {"sub": ""}, None])
async def test_an_answer_without_a_member_is_told(value):
    with pytest.raises(Corrupt):
        await poll(value)
