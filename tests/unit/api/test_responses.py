"""Answers: JSON, and errors in one shape with the right status."""

from __future__ import annotations

import json

import pytest

from flux_actors.errors import Corrupt, Refused, Unavailable
from flux_api.responses import error_response, json_response, raw_json


def test_a_value_is_sent_as_json_with_its_headers():
    answer = json_response({"big": 2**64 - 1, "text": "ü"}, 201, {"ETag": '"1"'})
    assert json.loads(answer.body) == {"big": 2**64 - 1, "text": "ü"}
    assert (answer.status_code, answer.headers["etag"]) == (201, '"1"')
    assert answer.headers["content-type"] == "application/json"


def test_json_that_is_ready_is_sent_as_it_is():
    assert raw_json(b'{"a": 1}').body == b'{"a": 1}'


@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (Refused("change it"), 400, None),
        (Refused("change it", 412), 412, None),
        (Unavailable("change it", 7), 503, "7"),
        (Corrupt("change it"), 503, "30"),
    ],
)
def test_an_error_is_one_sentence(error, status, retry_after):
    answer = error_response(error)
    assert json.loads(answer.body) == {"error": "change it"}
    assert answer.status_code == status
    assert answer.headers.get("retry-after") == retry_after
    assert answer.headers["content-type"] == "application/json"


def test_a_refusal_keeps_its_headers():
    assert error_response(Refused("no", 405, {"Allow": "GET"})).headers["allow"] == "GET"
