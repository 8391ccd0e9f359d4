"""`POST /api/events`: what an event does to its entity, once; and what its answer waits for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
MIB = 1024 * 1024


def nested(levels: int) -> Any:
    """Return an object with `levels` levels of lists and objects, itself included."""
    value: Any = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "payload",
    [
        *({}, {"x": 1}, {"properties": {"a": 1}}, {"entity_id": None, "properties": {"a": 1}}),
        {"entity_id": None, "properties": None},
    ],
    ids=json.dumps,
)
def test_an_event_without_an_entity_is_taken_and_changes_nothing(api, payload):
    body = {"stream": "a", "source": "s", "payload": payload}
    answer = api.post("/api/events?wait=applied", json=body)
    assert answer.status_code == 200
    assert set(answer.json()) == {"eventId", "stream", "entity"}
    assert answer.json()["entity"] is None


@pytest.mark.parametrize("rest", [{}, {"properties": None}, {"properties": {}}, {"other": 1}], ids=json.dumps)
def test_an_event_without_properties_makes_no_entity(api, namespace, rest):
    body = {"stream": "a", "source": "s", "payload": {"entity_id": f"{namespace}/e"} | rest}
    answer = api.post("/api/events?wait=applied", json=body)
    assert answer.status_code == 200
    assert answer.json()["entity"] is None
    assert_error(api.get(f"/api/state/entities/{namespace}/e"), 404)


@pytest.mark.parametrize("entity_id", ["", 1, True, [], {}, 1.5, ["a/b"]], ids=repr)
def test_an_entity_id_of_a_wrong_type_or_empty_is_refused(api, entity_id):
    body = {"stream": "a", "source": "s", "payload": {"entity_id": entity_id, "properties": {"a": 1}}}
    assert "entity_id" in assert_error(api.post("/api/events", json=body), 400)


@pytest.mark.parametrize("properties", ["", "x", 1, True, False, [], [1], [["a", 1]]], ids=repr)
def test_properties_of_a_wrong_type_are_refused(api, namespace, properties):
    body = event(f"{namespace}/e", properties)
    assert "properties" in assert_error(api.post("/api/events", json=body), 400)


@pytest.mark.parametrize("char", ["\x00", "\x01", "\t", "\n", "\r", "\x1f", "\x7f", "\x80", "\x9f"], ids=repr)
def test_an_entity_id_with_a_control_character_is_refused(api, namespace, char):
    assert "control" in assert_error(
        api.post("/api/events", json=event(f"{namespace}/a{char}b", {"a": 1})), 400
    )


@pytest.mark.parametrize("char", ["a", "ü", "日", "🙂"])
def test_an_entity_id_may_have_512_bytes_and_not_one_more(api, namespace, read, char):
    room = 512 - len(f"{namespace}/")
    size = len(char.encode())
    longest = f"{namespace}/" + char * (room // size) + "a" * (room % size)
    assert api.post("/api/events", json=event(longest, {"a": 1})).status_code == 200
    assert read(longest) == {"a": 1}
    assert "512" in assert_error(api.post("/api/events", json=event(longest + "a", {"a": 1})), 400)


@pytest.mark.parametrize(
    "name", ["flux-core/directory", "flux-core/x", "flux-core", "flux-core-x/y", "flux-corex", "flux-core/"]
)
def test_the_names_of_the_server_are_refused(api, name):
    assert "flux-core" in assert_error(api.post("/api/events", json=event(name, {"a": 1})), 403)


@pytest.mark.parametrize("name", ["Flux-core/x", "flux-cor/x", "flux_core/x", "a/flux-core/x"])
def test_names_that_only_look_like_the_servers_are_free(api, namespace, name):
    body = event(name, {namespace: 1})
    assert api.post("/api/events?wait=applied", json=body).json()["entity"]["properties"][namespace] == 1


@pytest.mark.parametrize(
    "number",
    [
        *(0, 1, -1, 2**53, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), -(2**53) - 1),
        *(0.1, -0.0, 1.5, 1e22, 1e308, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 1 / 3, -1e-7),
    ],
    ids=repr,
)
def test_a_number_reads_back_equal(api, namespace, publish, number):
    publish(f"{namespace}/e", {"n": number, "deep": {"list": [number]}})
    properties = api.get(f"/api/state/entities/{namespace}/e").json()["properties"]
    (logged,) = api.get("/api/events", params={"entity": f"{namespace}/e"}).json()
    for kept in (properties, logged["payload"]["properties"]):
        for value in (kept["n"], kept["deep"]["list"][0]):
            assert repr(value) == repr(number)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1E2", 100.0),
        ("1e+2", 100.0),
        ("0.10", 0.1),
        ("-0", 0),
        ("1e-400", 0.0),
        ("100000000000000000000.0", 1e20),
    ],
)
def test_a_number_in_another_spelling_reads_back_equal(api, namespace, text, value):
    body = json.dumps(event(f"{namespace}/e", {"n": "?"})).replace('"?"', text)
    answer = api.post("/api/events?wait=applied", content=body)
    assert answer.json()["entity"]["properties"]["n"] == value


@pytest.mark.parametrize(
    "text",
    [
        *("NaN", "Infinity", "-Infinity", "nan", "1e400", "-1e400", "01", "+1", ".5", "1.", "0x10", "1_000"),
        *(str(2**64), str(-(2**63) - 1), "1" * 400, "--1", "1e", "True", "None", "undefined", "'a'", "[1,]"),
        *("{,}", '"\\x"', '"\\ud800"', '"\\udc00x"', '"\t"', '"\n"', "[" * 200, "1 2", "{1:2}"),
    ],
)
def test_a_value_that_is_no_json_or_no_64_bit_number_is_refused(api, namespace, text):
    body = json.dumps(event(f"{namespace}/e", {"n": "?"})).replace('"?"', text)
    assert_error(api.post("/api/events", content=body), 400)
    assert_error(api.get(f"/api/state/entities/{namespace}/e"), 404)


@pytest.mark.parametrize("place", ["payload", "nested", "list"])
def test_an_integer_beyond_64_bits_is_refused_wherever_it_stands(api, namespace, place):
    body = event(f"{namespace}/e", {"a": 1})
    body["payload"]["rest"] = {"payload": 2**64, "nested": {"a": {"b": 2**64}}, "list": [[2**64]]}[place]
    assert "64" in assert_error(api.post("/api/events", json=body), 400)


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b" ", b"null", b"true", b"1", b'"x"', b"[]", b"[{}]", b"{", b"}", b"{}x", b"{} {}", b"\x00"),
        *(b"\xff\xfe", b"\xef\xbb\xbf{}", b"{'a':1}", b"{a:1}", b'{"a":1,}', b"// x\n{}", b'{"a"}', b"\x80"),
        *(b'{"stream":"\xff"}', b'{"stream":"\xed\xa0\x80"}', b'{"stream":"\xc0\x80"}', b"[" * 100_000),
        *(b'{"a":' * 100_000, "{}".encode("utf-16"), "{}".encode("utf-32")),
    ],
    ids=lambda body: repr(body[:16]),
)
def test_a_body_that_is_no_json_object_is_refused(api, body):
    assert_error(api.post("/api/events", content=body), 400)


def test_the_last_of_duplicate_keys_wins(api, namespace):
    body = (
        '{"stream":"a","stream":"b","source":"s","payload":{"entity_id":"NS/x","entity_id":"NS/e",'
        '"properties":{"a":1,"a":{"b":1,"b":2}}}}'
    ).replace("NS", namespace)
    answer = api.post("/api/events?wait=applied", content=body).json()
    assert answer["stream"] == "b"
    assert answer["entity"]["id"] == f"{namespace}/e"
    assert answer["entity"]["properties"] == {"a": {"b": 2}}


def test_json_may_nest_128_levels_and_not_one_more(api, namespace, read):
    deepest = event(f"{namespace}/e", nested(126))
    assert api.post("/api/events", json=deepest).status_code == 200
    assert read(f"{namespace}/e") == nested(126)
    assert "128" in assert_error(api.post("/api/events", json=event(f"{namespace}/e", nested(127))), 400)


@pytest.mark.parametrize("opener", ["[", '{"a":'], ids=["list", "object"])
def test_json_nested_a_hundred_thousand_levels_is_refused(api, opener):
    closer = {"[": "]", '{"a":': "}"}[opener]
    text = opener * 100_000 + "1" + closer * 100_000
    assert_error(api.post("/api/events", content=f'{{"stream":"a","source":"s","payload":{text}}}'), 400)


def test_each_key_replaces_its_value_whole_and_leaves_the_others(api, namespace, publish, read):
    publish(f"{namespace}/e", {"a": {"x": 1, "y": 2}, "b": [1, 2], "c": 1})
    publish(f"{namespace}/e", {"a": {"x": 3}, "b": None})
    assert read(f"{namespace}/e") == {"a": {"x": 3}, "b": None, "c": 1}


@pytest.mark.parametrize(
    "value",
    [
        *(None, True, False, "", "x", "\u0000", "🙂", "\\u0041", [], {}, [[]], {"": {}}, [None], {"a": None}),
        *(" \t\n", "</script>", '"', "\\", "\u2028"),
    ],
    ids=repr,
)
def test_any_json_value_is_stored_as_it_is(namespace, publish, read, value):
    publish(f"{namespace}/e", {"v": value})
    assert read(f"{namespace}/e") == {"v": value}


@pytest.mark.parametrize(
    "key", ["", " ", "🙂", "a.b", "__proto__", "id", "entity_id", "\u0000", '"', "a" * 10_000]
)
def test_any_property_name_is_stored_as_it_is(namespace, publish, read, key):
    publish(f"{namespace}/e", {key: 1})
    assert read(f"{namespace}/e") == {key: 1}


def test_properties_keep_the_order_in_which_they_were_first_named(namespace, publish, read):
    publish(f"{namespace}/e", {"z": 1, "a": 2})
    publish(f"{namespace}/e", {"m": 3, "z": 4})
    assert list(read(f"{namespace}/e")) == ["z", "a", "m"]


def test_deleted_true_deletes_and_the_next_event_begins_afresh(api, namespace, publish, read):
    publish(f"{namespace}/e", {"a": 1})
    assert publish(f"{namespace}/e", {"__deleted__": True, "b": 1}).json()["entity"] is None
    assert read(f"{namespace}/e") is None
    publish(f"{namespace}/e", {"c": 1})
    assert read(f"{namespace}/e") == {"c": 1}


@pytest.mark.parametrize("value", [False, None, 1, "true", {}], ids=repr)
def test_deleted_with_any_other_value_is_an_ordinary_property(namespace, publish, read, value):
    publish(f"{namespace}/e", {"a": 1})
    publish(f"{namespace}/e", {"__deleted__": value})
    assert read(f"{namespace}/e") == {"a": 1, "__deleted__": value}


def test_an_event_id_applies_once_and_the_first_wins(api, namespace, publish, read):
    publish(f"{namespace}/e", {"n": 1}, eventId="once")
    again = publish(f"{namespace}/e", {"n": 2, "m": 1}, eventId="once", stream="other")
    assert again.json()["entity"]["properties"] == {"n": 1}
    assert read(f"{namespace}/e") == {"n": 1}


def test_an_event_id_used_on_another_entity_of_the_namespace_is_a_duplicate(namespace, publish, read):
    publish(f"{namespace}/a", {"n": 1}, eventId="once")
    assert publish(f"{namespace}/b", {"n": 1}, eventId="once").json()["entity"] is None
    assert read(f"{namespace}/b") is None


def test_the_same_event_id_in_another_namespace_is_another_event(namespace, publish):
    publish(f"{namespace}/e", {"n": 1}, eventId="once")
    other = publish(f"{namespace}x/e", {"n": 2}, eventId="once")
    assert other.json()["entity"]["properties"] == {"n": 2}


def test_a_duplicate_delete_does_not_delete_again(namespace, publish, read):
    publish(f"{namespace}/e", {"n": 1})
    publish(f"{namespace}/e", {"__deleted__": True}, eventId="bye")
    publish(f"{namespace}/e", {"n": 2})
    publish(f"{namespace}/e", {"__deleted__": True}, eventId="bye")
    assert read(f"{namespace}/e") == {"n": 2}


def test_a_duplicate_event_is_in_the_history_once(api, namespace, publish):
    for _ in range(3):
        publish(f"{namespace}/e", {"n": 1}, eventId="once")
    assert len(api.get("/api/events", params={"entity": f"{namespace}/e"}).json()) == 1


def test_a_refused_event_does_not_use_its_event_id_up(api, namespace, publish, read):
    assert_error(
        api.post("/api/events", json=event(f"{namespace}/e", {"n": 1}, eventId="x", stream="A")), 400
    )
    publish(f"{namespace}/e", {"n": 1}, eventId="x")
    assert read(f"{namespace}/e") == {"n": 1}


def test_wait_applied_answers_with_the_whole_entity(api, namespace, publish):
    publish(f"{namespace}/e", {"a": 1})
    answer = publish(f"{namespace}/e", {"b": 2})
    assert list(answer.json()) == ["eventId", "stream", "entity"]
    entity = answer.json()["entity"]
    assert list(entity) == ["id", "properties", "lastUpdated"]
    assert entity == api.get(f"/api/state/entities/{namespace}/e").json()
    assert entity["properties"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "prefer",
    ["wait=applied", "respond-async, wait=applied", "wait=applied; x=1", "return=minimal,wait=applied"],
)
def test_prefer_wait_applied_does_the_same(api, namespace, prefer):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}), headers={"Prefer": prefer})
    assert answer.json()["entity"]["properties"] == {"a": 1}


@pytest.mark.parametrize("prefer", ["", "wait=10", "wait=appliedly", "return=minimal", "nowait=applied"])
def test_another_preference_is_ignored(api, namespace, prefer):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}), headers={"Prefer": prefer})
    assert set(answer.json()) == {"eventId", "stream"}


@pytest.mark.parametrize("wait", ["", "true", "1", "Applied", "durable", "applied,"])
def test_another_wait_is_refused(api, namespace, wait):
    answer = api.post("/api/events", params={"wait": wait}, json=event(f"{namespace}/e", {"a": 1}))
    assert "applied" in assert_error(answer, 400)


def test_a_body_of_exactly_one_mebibyte_is_taken_and_one_byte_more_is_413(api, namespace, read):
    empty = len(json.dumps(event(f"{namespace}/e", {"text": ""})))
    largest = json.dumps(event(f"{namespace}/e", {"text": "x" * (MIB - empty)}))
    assert len(largest) == MIB
    assert api.post("/api/events", content=largest).status_code == 200
    assert len(read(f"{namespace}/e")["text"]) == MIB - empty
    assert str(MIB) in assert_error(api.post("/api/events", content=largest + " "), 413)


def test_a_write_on_what_was_read_applies_while_that_is_so(api, proxy, namespace, read):
    path = f"/api/state/entities/{namespace}/e"
    api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}))
    etag = api.get(path).headers["etag"]
    headers = {"If-Match": etag}
    assert api.post("/api/events", json=event(f"{namespace}/e", {"a": 2}), headers=headers).status_code == 200
    for entrance in (api, proxy):
        late = entrance.post("/api/events", json=event(f"{namespace}/e", {"a": 3}), headers=headers)
        assert (late.status_code, set(late.json())) == (412, {"error", "entity"})
        assert late.json()["entity"]["properties"] == {"a": 2}
    assert read(f"{namespace}/e") == {"a": 2}


def test_only_one_makes_an_entity(api, namespace, read):
    body, headers = event(f"{namespace}/e", {"a": 1}), {"If-None-Match": "*"}
    assert api.post("/api/events", json=body, headers=headers).status_code == 200
    late = api.post("/api/events", json=event(f"{namespace}/e", {"a": 2}), headers=headers)
    assert (late.status_code, late.json()["entity"]["properties"]) == (412, {"a": 1})
    assert read(f"{namespace}/e") == {"a": 1}


@pytest.mark.parametrize("condition", [{"present": True}, {"etag": '"0.1.0"'}], ids=["present", "etag"])
def test_a_condition_that_is_not_met_changes_nothing(api, namespace, read, condition):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}, condition=condition))
    assert (answer.status_code, answer.json()["entity"]) == (412, None)
    assert "there is none" in answer.json()["error"]
    assert read(f"{namespace}/e") is None
    assert api.get(f"/api/events?entity={namespace}/e").json() == []


@pytest.mark.parametrize(
    "headers",
    [{"If-Match": '"1"'}, {"If-Match": "1"}, {"If-None-Match": '"1"'}, {"If-None-Match": "1"}],
    ids=str,
)
def test_a_conditional_header_that_means_nothing_is_400(api, namespace, read, headers):
    answer = api.post("/api/events", json=event(f"{namespace}/e", {"a": 1}), headers=headers)
    assert_error(answer, 400)
    assert read(f"{namespace}/e") is None


def test_publishing_through_the_second_entrance_is_the_same(proxy, api, namespace):
    answer = proxy.post("/api/events?wait=applied", json=event(f"{namespace}/e", {"n": 2**64 - 1}))
    assert answer.json()["entity"]["properties"] == {"n": 2**64 - 1}
    position = answer.headers["Flux-Position"]
    assert (
        api.get(f"/api/state/entities/{namespace}/e", headers={"Flux-Position": position}).json()
        == (answer.json()["entity"])
    )
    assert_error(proxy.post("/api/events", content=b"\xff"), 400)
