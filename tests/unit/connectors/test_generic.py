"""Any JSON API: what a client may ask for, and what becomes of an answer."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.connectors.base import Answer, Context, judge
from flux_actors.connectors.generic import Generic, pointed_at, read_source, read_token
from flux_actors.errors import Corrupt, Refused
from tests.unit.connectors.fake_parts import NOW_S, ScriptedWeb

BODY = {
    "name": "weather",
    "url": "https://api.example.com/now?city=berlin",
    "poll_interval_secs": 60,
    "entity_key": "weather/berlin",
    "namespace": "home",
    "auth_type": "none",
}


def test_a_source_is_what_was_asked_for():
    source, token = read_source(BODY)
    assert (source.entity_id, source.url, token) == ("home/weather/berlin", BODY["url"], None)
    assert Generic().every_s(msgspec.to_builtins(source)) == 60.0


def test_auth_type_may_be_left_out():
    assert read_source({name: value for name, value in BODY.items() if name != "auth_type"})[1] is None


WRONG: list[dict[str, Any]] = [
    *(
        {name: value}
        for name in ("name", "url", "entity_key", "namespace")
        for value in (None, "", 7, [], "a\nb")
    ),
    *({"poll_interval_secs": value} for value in (None, 0, -1, 86_401, 1.5, "60", True)),
    *(
        {"url": url}
        for url in ("ftp://x/", "x", "https://me:pw@x/", "https://" + "a" * 3000, "http:///", "/x")
    ),
    {"namespace": "a/b"},
    {"entity_key": "x" * 512},
    {"name": "x" * 129},
    *(
        {"auth_type": value}
        for value in (None, "basic", 7, {}, {"api_key_header": 7}, {"api_key_header": "a", "b": 1})
    ),
    {"auth_type": "bearer"},
    {"auth_type": "bearer", "token": ""},
    {"auth_type": "bearer", "token": "a\r\nX: y"},
    {"auth_type": "bearer", "token": " a"},
    {"auth_type": "bearer", "token": "ä"},
    {"auth_type": "bearer", "token": "x" * 5000},
    {"auth_type": "none", "token": "x"},
    *(
        {"auth_type": {"api_key_header": name}, "token": "x"}
        for name in ("", "a b", "a:b", "a\r\n", "Host", "content-length", "Transfer-Encoding", "ä", "x" * 200)
    ),
    *({"json_pointer": value} for value in (7, "data", "x" * 600)),
    {"surprise": 1},
]


@pytest.mark.parametrize("change", WRONG, ids=str)
def test_what_does_not_fit_is_refused_with_400(change):
    with pytest.raises(Refused) as refused:
        read_source(BODY | change)
    assert refused.value.status == 400


@pytest.mark.parametrize("namespace", ["flux-core", "flux-core-x"])
def test_the_servers_own_names_are_forbidden(namespace):
    with pytest.raises(Refused) as refused:
        read_source(BODY | {"namespace": namespace})
    assert refused.value.status == 403


@pytest.mark.parametrize("body", [None, [], "x", 7])
def test_a_body_that_is_no_object_is_refused(body):
    with pytest.raises(Refused, match="JSON object"):
        read_source(body)


def test_a_refused_token_is_not_told():
    with pytest.raises(Refused) as refused:
        read_token("s3cret\n")
    assert "s3cret" not in refused.value.message


class Poll:
    """Polls of one source whose state lasts."""

    def __init__(self, **change: Any) -> None:
        source, self.token = read_source(BODY | change)
        self.settings = msgspec.to_builtins(source)
        self.state: dict[str, Any] = {}
        self.web = ScriptedWeb(lambda *_: AssertionError("no answer was set"))

    async def __call__(self, body: bytes, status: int = 200, **headers: str) -> list[Any]:
        self.web.answer = lambda *_: Answer(status, headers, body)
        context = Context(self.web, self.token or "", self.settings, self.state, lambda: NOW_S, judge)
        return [pair async for pair in Generic().poll(context)]

    def sent(self) -> dict[str, str]:
        return self.web.asked[-1][1]


@pytest.mark.parametrize(
    ("body", "properties"),
    [
        (b'{"a":1,"b":{"c":[1.5,null]}}', {"a": 1, "b": {"c": [1.5, None]}}),
        (b"{}", {}),
        (b"[1,2]", {"value": [1, 2]}),
        (b"21.5", {"value": 21.5}),
        (b"null", {"value": None}),
    ],
)
async def test_an_object_is_the_properties_and_anything_else_a_value(body, properties):
    assert await Poll()(body) == [("weather/berlin", properties)]


@pytest.mark.parametrize("body", [b"", b"<html>", b"{", b'{"a":NaN}', b"\xff\xfe"])
async def test_an_answer_that_is_no_json_is_told(body):
    with pytest.raises(Corrupt):
        await Poll()(body)


async def test_a_pointer_names_a_part():
    poll = Poll(json_pointer="/data/0/current")
    assert await poll(b'{"data":[{"current":{"c":21}}]}') == [("weather/berlin", {"c": 21})]
    with pytest.raises(Corrupt, match="nothing at /data/0/current"):
        await poll(b'{"data":[]}')


async def test_credentials_go_into_the_header_that_was_named():
    for auth, header, value in (
        ("bearer", "Authorization", "Bearer t"),
        ({"api_key_header": "X-Api-Key"}, "X-Api-Key", "t"),
        ({"api_key_header": "Authorization"}, "Authorization", "t"),
    ):
        poll = Poll(auth_type=auth, token="t")
        await poll(b"{}")
        assert poll.sent() == {header: value}
    poll = Poll()
    await poll(b"{}")
    assert poll.sent() == {}


async def test_what_did_not_change_is_not_written():
    poll = Poll()
    await poll(b"{}", etag='"v1"')
    assert await poll(b"", 304) == []
    assert poll.sent() == {"If-None-Match": '"v1"'}


async def test_the_answers_bound_is_the_smaller_one():
    assert Generic.answer_bytes_max == limits.generic_answer_bytes_max == 1024 * 1024


DOCUMENT = {"foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "m~n": 8, " ": 7, "k": {"0": "zero"}}


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        *(("", DOCUMENT), ("/foo", ["bar", "baz"]), ("/foo/0", "bar"), ("/", 0), ("/a~1b", 1), ("/c%d", 2)),
        *(("/m~0n", 8), ("/ ", 7), ("/k/0", "zero")),
    ],
)
def test_pointers_are_those_of_rfc_6901(pointer, value):
    assert pointed_at(DOCUMENT, pointer) == value


@pytest.mark.parametrize(
    "pointer", ["/nope", "/foo/2", "/foo/-", "/foo/-1", "/foo/01", "/foo/٣", "/a~1b/x", "/foo/"]
)
def test_a_pointer_to_nothing_is_told(pointer):
    with pytest.raises(Corrupt):
        pointed_at(DOCUMENT, pointer)


JSON: Any = st.recursive(
    st.none() | st.integers(0, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.data())
def test_every_part_can_be_pointed_at(value, data):
    pointer, part = "", value
    while isinstance(part, dict | list) and part and data.draw(st.booleans()):
        if isinstance(part, dict):
            name = data.draw(st.sampled_from(sorted(part)))
            pointer += "/" + name.replace("~", "~0").replace("/", "~1")
            part = part[name]
        else:
            index = data.draw(st.integers(0, len(part) - 1))
            pointer, part = f"{pointer}/{index}", part[index]
    assert pointed_at(json.loads(json.dumps(value)), pointer) == part
