"""What a client says: read typed, and refused in the words of HTTP."""

from __future__ import annotations

import msgspec
import pytest

from flux_actors.domain.json_text import parse_json
from flux_actors.errors import Refused
from flux_api.socket_requests import read_request
from tests.unit.api.standing import event


def read(**fields):
    return read_request(msgspec.json.encode(fields))


def test_a_publish_is_its_own_event():
    request = read(type="publish", id=1, eventId="mine", timestamp=5, **event("n/e", {"v": 1}))
    assert (request.type, request.id, request.event_id, request.timestamp) == ("publish", 1, "mine", 5)
    assert request.payload == {"entity_id": "n/e", "properties": {"v": 1}}
    assert request.entity_id is None


def test_what_is_missing_or_unknown_is_nothing():
    request = read(unknown=[1])
    assert (request.type, request.id, request.entity_id, request.payload) == (None, None, None, None)


@pytest.mark.parametrize("entity_id", [None, 5, "", ["a"]])
def test_a_pattern_must_be_text(entity_id):
    with pytest.raises(Refused, match="entity_id must be"):
        _ = read(entity_id=entity_id).pattern


@pytest.mark.parametrize(
    "text", [b"", b"{", b"nope", b"\xff", b'{"a":NaN}', b"[" * 129 + b"]" * 129, b'{"a":' * 999, b'"\\ud800"']
)
def test_what_is_no_json_is_refused_in_the_words_of_http(text):
    with pytest.raises(Refused) as http:
        parse_json(text)
    with pytest.raises(Refused) as socket:
        read_request(text)
    assert socket.value.message == http.value.message


@pytest.mark.parametrize("text", [b"[]", b"5", b'"subscribe"', b"null"])
def test_what_is_no_object_is_refused(text):
    with pytest.raises(Refused, match="must be a JSON object"):
        read_request(text)


def test_json_may_nest_as_deep_as_over_http():
    deepest = b'{"type":"get","x":' + b"[" * 127 + b"]" * 127 + b"}"
    assert read_request(deepest).type == "get"
    many_but_flat = b'{"type":"get","x":[' + b",".join([b"[]"] * 200) + b"]}"
    assert read_request(many_but_flat).type == "get"
    with pytest.raises(Refused, match="128 levels"):
        read_request(deepest.replace(b"[]", b"[[]]"))


@pytest.mark.parametrize("number", [2**64, -(2**63) - 1])
def test_an_id_that_cannot_be_sent_back_is_refused(number):
    with pytest.raises(Refused, match="64 bits"):
        read_request(b'{"type":"get","id":[%d]}' % number)
    assert read_request(b'{"type":"get","id":%d}' % (2**64 - 1)).id == 2**64 - 1
