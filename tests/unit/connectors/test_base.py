"""What a connector gets and what an answer stands for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flux_actors.connectors.base import Answer, Connector, Context, judge
from flux_actors.errors import Corrupt, Refused, Unavailable

NOW_S = 1_000_000.0


class FakeWeb:
    """Answers from a list, in turn."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.asked: list[tuple[str, dict[str, str]]] = []

    async def get(self, url: str, headers: Any) -> Answer:
        self.asked.append((url, dict(headers)))
        return self.answers.pop(0)


def context(web: Any, state: dict[str, Any] | None = None, **more: Any) -> Context:
    """Return what a connector has for one poll."""
    state = {} if state is None else state
    return Context(web, "t0ken", {}, state, lambda: NOW_S, judge, **more)


def answer(status: int = 200, value: Any = None, **headers: str) -> Answer:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Answer(status, named, json.dumps(value).encode())


@pytest.mark.parametrize("status", [200, 201, 204, 304])
def test_a_good_status_is_no_error(status):
    judge(answer(status), NOW_S)


@pytest.mark.parametrize(("status", "kind"), [(401, Refused), (403, Refused), (400, Corrupt), (404, Corrupt)])
def test_a_bad_status_stands_for_an_error(status, kind):
    with pytest.raises(kind, match=str(status)):
        judge(answer(status), NOW_S)


@pytest.mark.parametrize(
    ("headers", "wait_s"),
    [
        ({"retry_after": "17"}, 17),
        ({"retry_after": " 0 "}, 0),
        ({"retry_after": "99999999999999"}, 86_400),
        ({"retry_after": "Mon, 12 Jan 1970 13:47:40 GMT"}, 60),
        ({"retry_after": "Mon, 12 Jan 1970 13:00:00 GMT"}, 0),
        ({"retry_after": "soon"}, 0),
        ({"retry_after": "-5"}, 0),
        ({}, 0),
    ],
)
@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_wait_that_the_api_names_is_told(status, headers, wait_s):
    with pytest.raises(Unavailable) as away:
        judge(answer(status, **headers), NOW_S)
    assert away.value.retry_after_s == wait_s


@pytest.mark.parametrize("body", [b"", b"{", b"NaN", b"\xff", b"[" * 500 + b"]" * 500])
def test_a_body_that_is_no_json_is_no_answer(body):
    with pytest.raises(Corrupt, match="no usable JSON"):
        Answer(200, {}, body).json()


@pytest.mark.parametrize(
    ("validator", "condition"), [("etag", "If-None-Match"), ("last_modified", "If-Modified-Since")]
)
async def test_an_answer_that_was_seen_is_not_fetched_again(validator, condition):
    web = FakeWeb(answer(200, 1, **{validator: "v1"}), answer(304), answer(200, 2))
    state: dict[str, Any] = {}
    for _ in range(3):
        await context(web, state).get("https://a/", {"X": "y"})
    assert [headers.get(condition) for _, headers in web.asked] == [None, "v1", "v1"]
    await context(FakeWeb(answer()), state).get("https://a/")
    assert state == {"conditions": {}}


async def test_a_bad_answer_is_not_remembered():
    state: dict[str, Any] = {}
    with pytest.raises(Unavailable):
        await context(FakeWeb(answer(500, etag="v1")), state).get("https://a/")
    assert state["conditions"] == {}


async def test_an_endless_number_of_addresses_is_not_remembered():
    state: dict[str, Any] = {}
    for number in range(150):
        await context(FakeWeb(answer(etag="x" * 5000)), state).get(f"https://a/{number}")
    assert len(json.dumps(state)) < 150_000


def test_no_text_of_a_context_holds_the_token():
    assert "t0ken" not in repr(context(FakeWeb()))
    assert context(FakeWeb()).bearer == {"Authorization": "Bearer t0ken"}


def test_a_connector_must_say_how_it_polls():
    with pytest.raises(NotImplementedError):
        Connector().poll(context(FakeWeb()))
