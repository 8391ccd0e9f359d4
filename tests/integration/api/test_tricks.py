"""Tricks with ids, paths and headers: one id is one entity, and no header changes what a request is."""

from __future__ import annotations

import json
from urllib.parse import quote

import pytest

from tests.integration.api.support import assert_error, event, post

pytestmark = pytest.mark.real
ENTITIES = "/api/state/entities"


@pytest.fixture
def ask(raw):
    """Send a request with just these bytes as its target, and return the answer."""

    def send(target: str | bytes, method: str = "GET", *headers: bytes):
        target = target if isinstance(target, bytes) else target.encode()
        connection = raw()
        lines = [b"%s %s HTTP/1.1" % (method.encode(), target), b"Host: a", *headers]
        connection.send(b"\r\n".join(lines) + b"\r\n\r\n")
        return connection.answer(to_head=method == "HEAD")

    return send


@pytest.fixture
def victim(publish, namespace):
    """An entity that tricks are after."""
    publish(f"{namespace}/victim", {"mine": True})
    return f"{namespace}/victim"


# -- ids -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "trick",
    [
        "{0}/x/../victim",
        "{0}/./victim",
        "{0}//victim",
        "{0}/victim/",
        "{0}/victim/.",
        "/{0}/victim",
        "{0}/VICTIM",
        "{0}/victim ",
        " {0}/victim",
        "{0}\\victim",
        "{0}/victim\u200b",
        "{0}/vict\u0131m",  # a dotless i
        "{0}/v\u0456ctim",  # a Cyrillic i
        "{0}/ｖictim",  # a wide v  # noqa: RUF001
        "{0}/vi\u0301ctim",
        "{0}∕victim",  # a division slash  # noqa: RUF001
        "{0}\u2044victim",  # a fraction slash
        "{0}/victim%00",
        "{0}%2fvictim",
        "../{0}/victim",
        "{0}/%76ictim",
        "{0}/victim\u202e",
    ],
)
@pytest.mark.parametrize("spelt", ["quoted", "whole"])
def test_an_id_that_looks_like_another_is_another(ask, publish, read, victim, trick, spelt):
    entity_id = trick.format(victim.removesuffix("/victim"))
    safe = "" if spelt == "whole" else "/"
    path = quote(entity_id, safe=safe)
    if spelt == "quoted" and path.startswith("/"):
        path = "%2F" + path[1:]
    answer = ask(f"{ENTITIES}/{path}")
    assert_error(answer, 404)
    publish(entity_id, {"other": True})
    assert read(victim) == {"mine": True}
    got = ask(f"{ENTITIES}/{path}").json()
    assert (got["id"], got["properties"]) == (entity_id, {"other": True})
    assert ask(f"{ENTITIES}/{path}", "DELETE").status_code == 200
    assert read(victim) == {"mine": True}


@pytest.mark.parametrize(
    "target",
    [
        "{0}/victi%6D",  # once: the same id
        "{0}%2Fvictim",
        "{0}%2fvictim",
        "%7B0%7D",  # no entity, to see that the table is read as it stands
    ],
)
def test_one_layer_of_encoding_is_taken_off_and_no_second(ask, victim, namespace, target):
    once = ask(f"{ENTITIES}/{target.format(namespace)}")
    assert once.status_code == (404 if "7B" in target else 200)
    twice = ask(f"{ENTITIES}/{target.format(namespace).replace('%', '%25')}")
    assert_error(twice, 404)


@pytest.mark.parametrize(
    "odd",
    [
        *(b"%00", b"%01", b"%0a", b"%0D%0A", b"%1b", b"%7f", b"%C2%80"),  # control characters
        *(b"%C0%AF", b"%C0%80", b"%E0%80%AF", b"%F0%80%80%AF", b"%FC%80%80%80%80%AF"),  # overlong
        *(b"%ED%A0%80", b"%ED%B0%80", b"%FF", b"%80", b"%E2%82", b"%F4%90%80%80"),  # no Unicode
        *(b"%", b"%2", b"%zz", b"%u0041"),
    ],
    ids=lambda odd: odd.decode(),
)
@pytest.mark.parametrize("method", ["GET", "DELETE", "HEAD"])
def test_an_id_that_is_no_text_is_refused_or_names_nothing(ask, namespace, odd, method):
    answer = ask(f"{ENTITIES}/{namespace}/".encode() + odd, method)
    assert answer.status_code in {400, 404} or (method == "DELETE" and b"%" in odd[:3])
    if method == "GET":
        assert_error(answer, range(400, 405))


@pytest.mark.parametrize(
    "entity_id",
    [
        "flux-core/x",
        "flux-core",
        "flux-core-2/x",
        "flux-core/audit",
        "flux-core/directory",
        "flux-core/../t/x",
        "flux-core%2Fx",
    ],
)
def test_names_of_the_server_cannot_be_written_on_any_way(api, entity_id):
    body = event(entity_id, {"a": 1})
    assert_error(api.post("/api/events", json=body), 403)
    assert api.post("/api/events/batch", json=[body]).json()["failed"] == 1
    assert_error(api.delete(f"{ENTITIES}/{quote(entity_id, safe='')}"), 403)
    deleted = api.post(f"{ENTITIES}/delete", json={"entity_ids": [entity_id]})
    assert deleted.status_code == 403 or deleted.json()["failed"] == 1
    assert_error(api.post(f"{ENTITIES}/delete", json={"prefix": "flux-core"}), 403)


# -- paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "target",
    [
        *("/api/./admin/config", "/api/x/../admin/config", "//api/admin/config", "/api/admin/config/"),
        *("/api/admin/config;x=1", "/api/admin;/config", "/API/admin/config", "/api/admin%2Fconfig"),
        *("/api/admin/config%00", "/api/admin/config%20", "/api\\admin\\config", "/api/admin/config.json"),
        *(
            "/api%2Fadmin%2fconfig",
            "/%61pi/admin%252Fconfig",
            "/api/%2e%2e/api/admin/config",
            "/api/admin/..%2fconfig",
        ),
    ],
)
def test_a_path_that_looks_like_anothers_is_nobodys(ask, target):
    assert_error(ask(target), 404)


@pytest.mark.parametrize(
    "path",
    [
        *("../../../../../etc/passwd", "..%2f..%2f..%2fetc%2fpasswd", "%2e%2e/%2e%2e/core.py", "/etc/passwd"),
        *("..%5c..%5ccore.py", "....//....//core.py", "%00", "%ed%a0%80", "", ".", "..", "a" * 5000),
        *("swagger-ui.css%00.js", "swagger-ui.css%2f..%2f..%2fcore.py", "../core.py", "%252e%252e/core.py"),
    ],
    ids=lambda path: path[:30],
)
def test_files_beside_the_scripts_of_the_docs_are_not_served(ask, path):
    answer = ask(f"/static-offline-docs/{path}")
    assert answer.status_code in {400, 404}
    assert b"root:" not in answer.content
    assert b"FastAPIOffline" not in answer.content


# -- headers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override"])
@pytest.mark.parametrize("method", ["DELETE", "PUT", "PATCH"])
def test_no_header_makes_another_method_of_one(api, read, victim, name, method):
    for sent in ("GET", "POST"):
        api.request(sent, f"{ENTITIES}/{victim}", headers={name: method})
        api.request(sent, f"{ENTITIES}/{victim}?_method={method}", headers={name: method})
    assert read(victim) == {"mine": True}


@pytest.mark.parametrize(
    "name", ["X-Original-URL", "X-Rewrite-URL", "X-Forwarded-Prefix", "X-Forwarded-Path", "X-Forwarded-Host"]
)
def test_no_header_makes_another_path_of_one(api, name):
    answer = api.get("/api/live", headers={name: "/api/admin/config"})
    assert answer.content == api.get("/api/live").content
    assert_error(api.get("/nowhere", headers={name: "/api/live"}), 404)


def test_the_docs_name_no_host_that_a_request_named(ask):
    page = ask("/docs", "GET", b"X-Forwarded-Host: evil.example", b"X-Forwarded-Prefix: /evil")
    assert b"evil" not in page.content


@pytest.mark.parametrize(
    "values",
    [
        (b"Bearer one", b"Bearer two"),
        (b"",),
        (b"Bearer",),
        (b"Bearer  ",),
        (b"\xff\xfe",),
        (b"Bearer " + b"x" * 60_000,),
        (b"Bearer a, Bearer b",),
    ],
    ids=["two", "empty", "nothing", "spaces", "no text", "long", "list"],
)
def test_odd_credentials_are_answered_and_never_repeated(ask, values):
    headers = [b"Authorization: " + value for value in values]
    answer = ask("/api/live", "GET", *headers)
    assert answer.status_code in {200, 400, 401}
    assert not any(value in answer.content for value in values if len(value) > 8)


@pytest.mark.parametrize(
    "value", ["a\r\nX-Evil: 1", "a\nX-Evil: 1", "a%0d%0aX-Evil: 1", "\u560d\u560aX-Evil: 1", "a\x00b"]
)
def test_nothing_of_a_client_makes_a_header_of_an_answer(api, ask, namespace, value):
    """What comes back in headers is request ids, positions and ETags; texts come back as JSON."""
    body = event(f"{namespace}/e", {"a": 1}, eventId=value, stream="a", source="s")
    for answer in (
        api.post("/api/events", json=body),
        api.get(f"{ENTITIES}/{quote(value, safe='')}"),
        api.get("/api/events", params={"entity": value, "since": value}),
        api.get("/api/live", headers={"If-None-Match": quote(value), "X-Request-Id": quote(value)}),
    ):
        assert "x-evil" not in answer.headers
    echoed = ask(
        "/api/live", "GET", b"X-Request-Id: " + value.encode().partition(b"\r")[0].replace(b"\n", b"")
    )
    assert "x-evil" not in echoed.headers


def test_the_length_of_an_answer_is_that_of_its_bytes(raw, namespace):
    """A client that counted characters would take the rest for the next answer."""
    connection = raw()
    body = json.dumps(event(f"{namespace}/é", {"text": "ü\u2028\U0001f600"}), ensure_ascii=False).encode()
    for _ in range(3):
        connection.send(post(body, path=b"/api/events?wait=applied") * 2)
        for _ in range(2):
            answer = connection.answer()
            assert answer.json()["entity"]["properties"] == {"text": "ü\u2028\U0001f600"}
