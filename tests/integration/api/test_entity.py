"""`GET /api/state/entities/{id}` and the read of many: any id, the exact shape, ETags."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from urllib.parse import quote

import pytest

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
ENTITIES = "/api/state/entities"
STRANGE_NAMES = [
    *("a", "a/b", "a/b/c/d/e", "a//b", "a///", "/a", "//", ".", "..", "../x", "a/../b", "a/./b", "./", "..."),
    *("a b", " ", " a ", "a?b", "a?b=c&d=e", "a#b", "a%b", "a%2Fb", "%", "%25", "%2F", "%zz", "a+b", "a&b"),
    *(
        'a"b',
        "a'b",
        "a\\b",
        "a;b",
        "a,b",
        "a:b",
        "a@b",
        "a=b",
        "a*b",
        "*",
        "a|b",
        "a<b>",
        "{a}",
        "[a]",
        "~",
        "`",
    ),
    *("ü", "日本", "🙂", "e\u0301", "\u00a0", "\u200b", "\u2028", "\ufeff", "\ufffd", "\U0010ffff", "\u202e"),
    *(
        "get",
        "delete",
        "entities",
        "null",
        "undefined",
        "constructor",
        "count",
        "CON",
        "a" * 400,
        "index.html",
    ),
]


def path_of(entity_id, safe="/"):
    """Return the path of an entity, dots escaped: httpx would take them for steps up and down."""
    return f"{ENTITIES}/{quote(entity_id, safe=safe).replace('.', '%2E')}"


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=ascii)
def test_any_id_is_read_back_with_slashes_raw_or_escaped(api, namespace, publish, name):
    entity_id = f"{namespace}/{name}"
    publish(entity_id, {"name": name})
    for safe in ("/", ""):
        answer = api.get(path_of(entity_id, safe))
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == entity_id
        assert answer.json()["properties"] == {"name": name}


@pytest.mark.parametrize("name", STRANGE_NAMES, ids=ascii)
def test_any_id_has_its_own_history_and_can_be_deleted(api, namespace, publish, name):
    entity_id = f"{namespace}/{name}"
    publish(entity_id, {"a": 1})
    (logged,) = api.get("/api/events", params={"entity": entity_id}).json()
    assert logged["payload"]["entity_id"] == entity_id
    assert api.delete(f"{path_of(entity_id)}?wait=applied").json()["entity_id"] == entity_id
    assert_error(api.get(path_of(entity_id)), 404)


@pytest.mark.parametrize("lone", ["{}", "get-{}", "x {}", "日本{}", "..{}"])
def test_an_id_without_a_slash_is_an_entity_too(api, namespace, publish, lone):
    entity_id = lone.format(namespace)
    publish(entity_id, {"a": 1})
    assert api.get(path_of(entity_id)).json()["id"] == entity_id


def test_the_answer_has_exactly_this_shape(api, namespace, publish):
    publish(f"{namespace}/e", {"b": 1.5, "a": {"x": [None, True]}})
    answer = api.get(f"{ENTITIES}/{namespace}/e")
    assert answer.headers["content-type"] == "application/json"
    assert answer.content.startswith(
        b'{"id":"%s/e","properties":{"b":1.5,"a":{"x":[null,true]}},"lastUpdated":"' % namespace.encode()
    )
    assert list(answer.json()) == ["id", "properties", "lastUpdated"]


def test_last_updated_is_utc_with_an_offset_and_at_most_six_digits(api, namespace, publish):
    text = publish(f"{namespace}/e", {"a": 1}).json()["entity"]["lastUpdated"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?\+00:00", text)
    assert abs(datetime.fromisoformat(text) - datetime.now().astimezone()) < timedelta(minutes=1)


def test_last_updated_never_runs_backwards_and_is_not_the_clients_timestamp(namespace, publish):
    times = [
        publish(f"{namespace}/e", {"n": n}, timestamp=1_000_000 - n).json()["entity"]["lastUpdated"]
        for n in range(20)
    ]
    assert times == sorted(times)
    assert times[0] > "2020"


def test_an_absent_entity_is_404_with_the_published_text(api, namespace):
    answer = api.get(f"{ENTITIES}/{namespace}/nobody")
    assert assert_error(answer, 404) == "Entity not found"
    assert answer.content == b'{"error":"Entity not found"}'


@pytest.mark.parametrize(
    "path",
    ["%00", "a%09b", "a%7Fb", "%C2%85", "%FF", "a%C3", "%ED%A0%80", "%C0%80", "a" * 513, "%F5%80%80%80"],
)
def test_an_id_that_cannot_be_one_is_refused(api, path):
    assert_error(api.get(f"{ENTITIES}/{path}"), 400)
    assert_error(api.delete(f"{ENTITIES}/{path}"), 400)


def test_an_empty_id_is_refused(api):
    assert_error(api.get(f"{ENTITIES}/"), range(400, 500))
    assert_error(api.delete(f"{ENTITIES}/"), range(400, 500))


@pytest.mark.parametrize("path", ["a/../b", "a/./b", "a//b", "../../x", "a/", "a;x=1", "a+b", "%61/%62"])
def test_the_path_is_taken_as_sent_and_never_normalised(raw, namespace, publish, path):
    entity_id = f"{namespace}/{path}".replace("%61", "a").replace("%62", "b")
    publish(entity_id, {"a": 1})
    connection = raw()
    connection.send(
        b"GET %s/%s/%s HTTP/1.1\r\nHost: a\r\n\r\n" % (ENTITIES.encode(), namespace.encode(), path.encode())
    )
    assert connection.answer().json()["id"] == entity_id


def test_head_answers_like_get_without_the_body(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    got, head = api.get(f"{ENTITIES}/{namespace}/e"), api.head(f"{ENTITIES}/{namespace}/e")
    assert head.status_code == 200
    assert head.content == b""
    assert head.headers["etag"] == got.headers["etag"]
    assert head.headers["content-length"] == str(len(got.content))
    assert api.head(f"{ENTITIES}/{namespace}/nobody").status_code == 404


def test_the_etag_stays_while_the_entity_does_and_changes_with_it(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    first = api.get(f"{ENTITIES}/{namespace}/e").headers["etag"]
    assert re.fullmatch(r'"[^"]+"', first)
    publish(f"{namespace}/other", {"a": 1})
    assert api.get(f"{ENTITIES}/{namespace}/e").headers["etag"] == first
    publish(f"{namespace}/e", {"a": 1})
    assert api.get(f"{ENTITIES}/{namespace}/e").headers["etag"] != first


def test_an_etag_never_comes_back_after_a_deletion(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    first = api.get(f"{ENTITIES}/{namespace}/e").headers["etag"]
    api.delete(f"{ENTITIES}/{namespace}/e")
    publish(f"{namespace}/e", {"a": 1})
    assert api.get(f"{ENTITIES}/{namespace}/e").headers["etag"] != first


@pytest.mark.parametrize("form", ["{}", "*", "W/{}", '"x", {}', '{}, "x"', '"x",{}', '"x" , W/{} , "y"'])
def test_a_client_that_has_the_entity_already_is_told_304(api, namespace, publish, form):
    publish(f"{namespace}/e", {"a": 1})
    etag = api.get(f"{ENTITIES}/{namespace}/e").headers["etag"]
    answer = api.get(f"{ENTITIES}/{namespace}/e", headers={"If-None-Match": form.format(etag)})
    assert answer.status_code == 304
    assert answer.content == b""
    assert answer.headers["etag"] == etag


@pytest.mark.parametrize("value", ['"x"', "x", "", '"', "W/", ",", '"1.1.1", "2.2.2"', "\xff"])
def test_a_client_that_has_another_version_gets_the_entity(api, namespace, publish, value):
    publish(f"{namespace}/e", {"a": 1})
    answer = api.get(f"{ENTITIES}/{namespace}/e", headers={"If-None-Match": value.encode("latin-1")})
    assert answer.status_code == 200
    assert answer.json()["properties"] == {"a": 1}


def test_an_entity_that_changed_since_is_sent(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    etag = api.get(f"{ENTITIES}/{namespace}/e").headers["etag"]
    publish(f"{namespace}/e", {"a": 2})
    answer = api.get(f"{ENTITIES}/{namespace}/e", headers={"If-None-Match": etag})
    assert (answer.status_code, answer.json()["properties"]) == (200, {"a": 2})


def test_an_absent_entity_is_404_whatever_the_client_has(api, namespace):
    assert_error(api.get(f"{ENTITIES}/{namespace}/no", headers={"If-None-Match": "*"}), 404)


def test_fields_are_those_that_are_asked_for(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1, "b": 2, "c": None})
    whole = api.get(f"{ENTITIES}/{namespace}/e")
    some = api.get(f"{ENTITIES}/{namespace}/e", params={"fields": "c,a,none"})
    assert some.json() == whole.json() | {"properties": {"c": None, "a": 1}}
    assert some.headers["etag"] == whole.headers["etag"]
    assert "fields" in assert_error(api.get(f"{ENTITIES}/{namespace}/e", params={"fields": ","}), 400)


def test_many_are_read_in_one_call_in_the_order_asked(api, namespace):
    names = [f"{namespace}/{n:03}" for n in range(300)]
    api.post("/api/events/batch", json=[event(name, {"n": name}) for name in names])
    asked = [*names[::-1], f"{namespace}/no", "nobody at all"]
    answer = api.post(f"{ENTITIES}/get", json={"ids": asked})
    assert list(answer.json()) == ["entities", "missing"]
    assert [entity["id"] for entity in answer.json()["entities"]] == names[::-1]
    assert all(list(entity) == ["id", "properties", "lastUpdated"] for entity in answer.json()["entities"])
    assert answer.json()["missing"] == [f"{namespace}/no", "nobody at all"]


def test_a_read_of_many_agrees_with_a_read_of_one(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    one = api.get(f"{ENTITIES}/{namespace}/e").json()
    assert api.post(f"{ENTITIES}/get", json={"ids": [f"{namespace}/e"]}).json() == {
        "entities": [one],
        "missing": [],
    }


def test_a_read_of_none_is_empty(api):
    assert api.post(f"{ENTITIES}/get", json={"ids": []}).content == b'{"entities":[],"missing":[]}'


def test_a_deleted_entity_is_missing(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    publish(f"{namespace}/e", {"__deleted__": True})
    answer = api.post(f"{ENTITIES}/get", json={"ids": [f"{namespace}/e"]}).json()
    assert answer == {"entities": [], "missing": [f"{namespace}/e"]}


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b"1", b'{"ids":null}', b'{"ids":"a"}', b'{"ids":{}}', b'{"ids":[1]}'),
        *(b'{"ids":[null]}', b'{"ids":[""]}', b'{"ids":["a\\n"]}', b'{"ids":["a/b",{}]}', b'{"id":["a"]}'),
        *(b"\xff", b'{"ids":[', json.dumps({"ids": ["a" * 513]}).encode(), b'{"ids":["\\ud800"]}'),
    ],
    ids=lambda body: repr(body[:24]),
)
def test_a_read_of_many_with_a_bad_body_is_refused(api, body):
    assert_error(api.post(f"{ENTITIES}/get", content=body), 400)


def test_reading_through_the_second_entrance_is_the_same(proxy, api, namespace, publish):
    publish(f"{namespace}/a b/ü?#%", {"a": 1})
    path = f"{ENTITIES}/{quote(f'{namespace}/a b/ü?#%', safe='')}"
    position = {"Flux-Position": api.headers["Flux-Position"]}
    assert proxy.get(path, headers=position).json() == api.get(path).json()
    assert proxy.get(path, headers=position).headers["etag"] == api.get(path).headers["etag"]
    assert assert_error(proxy.get(f"{ENTITIES}/{namespace}/no"), 404) == "Entity not found"
