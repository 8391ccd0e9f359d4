"""What holds on every path: CORS, request ids, compression, wrong methods and paths, the OpenAPI document."""

from __future__ import annotations

import gzip
import json
import re

import pytest
import zstandard

from tests.integration.api.support import assert_error, event

pytestmark = pytest.mark.real
ENTITY = "/api/state/entities/{entity_id}"
GET_MANY, DELETE_MANY = "/api/state/entities/get", "/api/state/entities/delete"  # names of entities too
ROUTES = {
    "/api/events": {"get", "post"},
    "/api/events/batch": {"post"},
    "/api/state/entities": {"get", "head"},
    GET_MANY: {"post"},
    DELETE_MANY: {"post"},
    ENTITY: {"get", "head", "delete"},
    "/api/health": {"get", "head"},
    "/api/ready": {"get", "head"},
    "/api/live": {"get", "head"},
    "/api/ws": {"get"},
    "/api/stream": {"get"},
    "/api/connectors": {"get"},
    "/api/connectors/{name}": {"get"},
    "/api/admin/config": {"get", "put"},
}
METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "M-SEARCH"]
ORIGINS = ["http://localhost:5173", "https://dashboard.example", "null"]


@pytest.fixture(scope="module")
def openapi(_own_client):
    answer = _own_client.get("/openapi.json")
    assert answer.status_code == 200
    return answer.json()


@pytest.mark.parametrize("origin", ORIGINS)
@pytest.mark.parametrize("path", ["/api/live", "/api/state/entities/no/body", "/nowhere", "/api/events"])
def test_a_page_of_any_origin_may_read_every_answer_errors_included(api, origin, path):
    answer = api.get(path, headers={"Origin": origin})
    assert answer.headers["access-control-allow-origin"] in {"*", origin}


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE"])
@pytest.mark.parametrize("origin", ORIGINS)
def test_a_preflight_allows_every_origin_method_and_header(api, method, origin):
    answer = api.options(
        "/api/events",
        headers={
            "Origin": origin,
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization, content-type, flux-position, x-request-id",
        },
    )
    assert answer.status_code in {200, 204}
    assert answer.headers["access-control-allow-origin"] in {"*", origin}
    assert method in answer.headers["access-control-allow-methods"]
    allowed = answer.headers["access-control-allow-headers"].lower()
    assert all(name in allowed for name in ("authorization", "content-type", "flux-position"))


@pytest.mark.parametrize("name", ["flux-position", "etag", "flux-count", "link", "retry-after"])
def test_a_page_may_read_the_headers_that_matter(api, name):
    answer = api.get("/api/live", headers={"Origin": ORIGINS[0]})
    exposed = answer.headers["access-control-expose-headers"].lower()
    assert name in [part.strip() for part in exposed.split(",")]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        *(("GET", "/api/live"), ("GET", "/nowhere"), ("PATCH", "/api/events"), ("POST", "/api/events")),
        *(("GET", "/api/state/entities"), ("HEAD", "/api/live"), ("DELETE", "/api/state/entities/%FF")),
        *(("GET", "/docs"), ("PUT", "/api/admin/config")),
    ],
)
@pytest.mark.parametrize("request_id", ["a", "0190-abc/+=", "x" * 256])
def test_a_request_id_is_echoed_on_every_answer(api, method, path, request_id):
    answer = api.request(method, path, headers={"X-Request-Id": request_id})
    assert answer.headers.get_list("x-request-id") == [request_id]


def test_a_request_id_is_not_made_up(api):
    assert "x-request-id" not in api.get("/api/live").headers


@pytest.mark.parametrize(
    "request_id", [b"", b"a b", b"\xff", b"x" * 5000, b"a\tb"], ids=lambda b: ascii(b[:5])
)
def test_an_odd_request_id_does_no_harm(api, request_id):
    answer = api.get("/api/live", headers={"X-Request-Id": request_id})
    assert answer.status_code == 200
    assert answer.headers.get("x-request-id", "").encode("latin-1") in {b"", request_id}


@pytest.fixture
def large(api, namespace):
    """The path of a list of 300 entities, and its bytes as they are without compression."""
    api.post("/api/events/batch?wait=applied", json=[event(f"{namespace}/{n}", {"a": n}) for n in range(300)])
    path = f"/api/state/entities?namespace={namespace}"
    return path, api.get(path, headers={"Accept-Encoding": "identity"}).content


def read_raw(api, path, encoding):
    """Return the answer and its bytes as they went over the wire."""
    with api.stream("GET", path, headers={"Accept-Encoding": encoding}) as answer:
        return answer, b"".join(answer.iter_raw())


@pytest.mark.parametrize(
    ("encoding", "used"),
    [
        *(("gzip", "gzip"), ("zstd", "zstd"), ("gzip, deflate, br", "gzip"), ("zstd;q=1, gzip;q=0", "zstd")),
        *(("gzip;q=0.5", "gzip"), ("br, gzip", "gzip"), ("GZIP", "gzip")),
    ],
)
def test_an_answer_is_compressed_on_request(api, large, encoding, used):
    path, plain = large
    answer, body = read_raw(api, path, encoding)
    assert answer.headers["content-encoding"] == used
    assert "accept-encoding" in answer.headers["vary"].lower()
    unpacked = (
        gzip.decompress(body)
        if used == "gzip"
        else zstandard.ZstdDecompressor().decompressobj().decompress(body)
    )
    assert unpacked == plain
    assert len(body) < len(plain) / 2


@pytest.mark.parametrize(
    "encoding", ["identity", "", "br", "deflate", "nonsense", "gzip;q=0", "zstd;q=0, gzip;q=0"]
)
def test_an_answer_is_plain_unless_compression_was_asked_for(api, large, encoding):
    path, plain = large
    answer, body = read_raw(api, path, encoding)
    assert "content-encoding" not in answer.headers
    assert body == plain


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_an_entity_and_its_etag_survive_compression(api, namespace, publish, encoding):
    publish(f"{namespace}/e", {"text": "x" * 5000})
    answer = api.get(f"/api/state/entities/{namespace}/e", headers={"Accept-Encoding": encoding})
    assert answer.headers["content-encoding"] == encoding
    again = {"Accept-Encoding": encoding, "If-None-Match": answer.headers["etag"]}
    assert api.get(f"/api/state/entities/{namespace}/e", headers=again).status_code == 304


def test_a_compressed_error_is_still_an_error(api):
    answer = api.get("/nowhere", headers={"Accept-Encoding": "gzip, zstd"})
    assert_error(answer, 404)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        (
            path,
            {
                method.upper()
                for method in methods | (ROUTES[ENTITY] if path in {GET_MANY, DELETE_MANY} else set())
            },
        )
        for path, methods in ROUTES.items()
    ],
)
@pytest.mark.parametrize("method", METHODS)
def test_a_wrong_method_is_405_with_allow_and_a_sentence(api, path, allowed, method):
    path = path.replace("{entity_id}", "no/body").replace("{name}", "github")
    with api.stream(method, path) as answer:  # one of the routes answers without an end
        if method in allowed:
            assert answer.status_code != 405
            return
        answer.read()
    assert answer.status_code == 405
    assert allowed <= {name.strip() for name in answer.headers["allow"].split(",")}
    assert method not in answer.headers["allow"]
    if method != "HEAD":
        assert_error(answer, 405)


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/",
            "/api",
            "/api/",
            "/nowhere",
            "/api/nothing",
            "/api/events/",
            "/api/event",
            "/API/EVENTS",
            "//api/events",
        ),
        *(
            "/api/events/batch/",
            "/api/live/",
            "/api//live",
            "/api/events/batch/x",
            "/favicon.ico",
            "/%00",
            "/%FF",
        ),
        *(
            "/api/state",
            "/api/state/",
            "/api/state/entity",
            "/.git/config",
            "/a" * 1000,
            "/redoc",
            "/metrics/all",
        ),
    ],
    ids=lambda path: path[:30],
)
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_an_unknown_path_is_404_with_a_sentence(raw, path, method):
    connection = raw()
    connection.send(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n".encode())
    assert_error(connection.answer(), 404)


def test_the_docs_are_a_page_that_reads_the_document(api):
    answer = api.get("/docs")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/html")
    assert "/openapi.json" in answer.text


@pytest.mark.parametrize("path", ROUTES)
def test_every_route_is_in_the_openapi_document(openapi, path):
    assert set(openapi["paths"][path]) >= ROUTES[path] - {"head"}


@pytest.mark.parametrize("path", ROUTES)
def test_every_operation_tells_what_it_does_and_how_it_fails(openapi, path):
    for method in ROUTES[path] & set(openapi["paths"][path]):
        operation = openapi["paths"][path][method]
        assert operation["summary"]
        assert "200" in operation["responses"]
        assert any(status.startswith("4") for status in operation["responses"])


def test_every_path_parameter_is_declared(openapi):
    for path, methods in openapi["paths"].items():
        for operation in methods.values():
            declared = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
            assert declared == {part[1:-1] for part in path.split("/") if part.startswith("{")}


@pytest.mark.parametrize(
    ("path", "method", "parameters"),
    [
        ("/api/events", "get", {"entity", "since", "until", "limit"}),
        ("/api/events", "post", {"wait"}),
        ("/api/events/batch", "post", {"wait"}),
        ("/api/state/entities", "get", {"namespace", "prefix", "count", "at_least"}),
        ("/api/state/entities/{entity_id}", "get", {"at_least"}),
        ("/api/state/entities/{entity_id}", "delete", {"wait"}),
    ],
)
def test_the_query_parameters_are_declared(openapi, path, method, parameters):
    declared = openapi["paths"][path][method]["parameters"]
    assert {p["name"] for p in declared if p["in"] == "query"} >= parameters


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("/api/events", "post"),
        ("/api/events/batch", "post"),
        ("/api/state/entities/get", "post"),
        ("/api/state/entities/delete", "post"),
        ("/api/admin/config", "put"),
    ],
)
def test_the_bodies_are_described(openapi, path, method):
    schema = openapi["paths"][path][method]["requestBody"]["content"]["application/json"]["schema"]
    assert "properties" in json.dumps(schema)


def test_operation_ids_differ(openapi):
    ids = [
        operation["operationId"] for methods in openapi["paths"].values() for operation in methods.values()
    ]
    assert len(set(ids)) == len(ids)


def test_the_second_entrance_keeps_what_holds_everywhere(proxy):
    answer = proxy.get("/nowhere", headers={"Origin": "http://a", "X-Request-Id": "mine"})
    assert_error(answer, 404)
    assert answer.headers["access-control-allow-origin"] in {"*", "http://a"}
    assert answer.headers["x-request-id"] == "mine"
    assert_error(proxy.patch("/api/events"), 405)
    assert proxy.get("/openapi.json").status_code == 200


def test_the_page_of_the_docs_needs_nothing_from_elsewhere(api):
    page = api.get("/docs").text
    named = re.findall(r"""(?:src|href)=["']([^"']+)""", page)
    assert len(named) >= 2
    for path in named:
        assert path.startswith("/"), path
        assert api.get(path).status_code == 200, path
    assert "url: '/openapi.json'" in page
