"""Hundreds of requests through both ways: status, headers and body are the same, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from flux_actors import limits
from tests.unit.api.hot.two_ways import TwoWays, alike
from tests.unit.api.standing import Standing, event


class Case(NamedTuple):
    """A request, and whether the hot way answers it once its head is known."""

    request: bytes
    hot: bool


def get(target: str, headers: bytes = b"", query: bytes = b"") -> bytes:
    return b"GET /api/state/entities/%s%s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (target.encode(), query, headers)


def post(path: str, body: bytes, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    return b"POST %s HTTP/1.1\r\nHost: x\r\n%s%s\r\n" % (path.encode(), length, headers) + body


def text(value: Any) -> bytes:
    return json.dumps(value).encode()


HOT_HEADERS = [
    b"",
    b"User-Agent: curl/8\r\nAccept: */*\r\n",
    b"Connection: keep-alive\r\n",
    b"Accept-Encoding: identity\r\nAccept-Language: de\r\n",
    b"Authorization: Bearer none\r\nCache-Control: no-cache\r\nPragma: no-cache\r\n",
]
COLD_HEADERS = [
    b'If-Match: "0.1.0"\r\n',
    b"If-None-Match: *\r\n",
    b"X-Request-Id: r-1\r\n",
    b"Origin: http://elsewhere\r\n",
    b"X-Other: 1\r\n",
    b"Flux-Position: nonsense\r\n",
    b"Expect: 100-continue\r\n",
    b"Connection: close\r\n",
]
TARGETS = ["n/e", "n/e2", "n/large", "n//slashes/", "n/a.b-c_d~e", "plain", "wide/1", "flux-core/x"]
ABSENT = ["n/none", "n/gone", "..", "n/%65", "n/%2F", "n/ü", "n/%ff", "x" * 513, "n/a%00b", "n/?", "delete"]
GOOD_EVENTS = [
    event("n/e2", {"v": 1}),
    event("n/e2", {"v": 1}, eventId="mine", key="k", schema="s", timestamp=5),
    event("n/e2", {"v": {"deep": [1, {"er": None}]}, "w": 'ü \u2028 \U0001f600 "quoted" \\'}),
    event("n/e2", {"v": 2**64 - 1, "w": -(2**63), "x": 1.5e300}),
    event("n/e2", {}),
    event("n/e2", {"__deleted__": True}),
    event(None),
    event("n/e2", {"v": 1}, payload={"entity_id": "n/e2", "properties": {"v": 1}, "more": [1]}),
    event("n/e2", {"v": 1}, eventId='q"uo\\te\u0001'),
    event("wide/3", {"v": 1}, unknown={"ignored": True}),
    event("n/e2", {"v": 1}, condition={"present": True}),
    event(None, payload={"ttl_ms": "of something else"}),
    event("n/e2", {"v": 1}, payload={"entity_id": "n/e2", "properties": {"v": 1}, "ttl_ms": 60_000}),
]
BAD_EVENTS: list[Any] = [
    5,
    [],
    None,
    "text",
    {},
    event("flux-core/x", {"v": 1}),
    event("n/e2", {"v": 2**64}),
    event("n/e2", 5),
    event(None, payload={"entity_id": 7}),
    event("", {"v": 1}),
    event("x" * 513, {"v": 1}),
    event("a\u0000b", {"v": 1}),
    event("n/e2", {"v": 1}, stream="Bad"),
    event("n/e2", {"v": 1}, source=""),
    event("n/e2", {"v": 1}, timestamp=0),
    event("n/e2", {"v": 1}, condition={"absent": True}),
    event("n/none", {"v": 1}, condition={"present": True}),
    event("n/none", {"v": 1}, condition={"etag": '"0.1.0"'}),
    event("n/e2", {"v": 1}, condition={"etag": 5}),
    event("n/e2", {"v": 1}, payload={"entity_id": "n/e2", "properties": {"v": 1}, "ttl_ms": -1}),
    event("n/e2", {"v": 1}, payload={"entity_id": "n/e2", "properties": {"v": 1}, "property_ttl_ms": 5}),
    event("n/e2", {"v": 1}, timestamp=True),
    event("n/e2", {"v": 1}, eventId=5),
    event("n/e2", {"v": 1}, eventId="x" * 129),
    event("n/e2", {"v": 1}, condition={"absent": True}),
    event("n/e2", {"v": 1}, payload=[]),
]
NO_JSON = [b"", b"{", b"nonsense", b'{"a":NaN}', b"\xff\xfe", b'"\\ud800"', b"[" * 3_000, b"{} {}"]


def _nested(depth: int) -> Any:
    value: Any = 0
    for _ in range(depth):
        value = [value]
    return value


def _gets() -> Iterator[Case]:
    for target in TARGETS:
        for headers in HOT_HEADERS:
            yield Case(get(target, headers), hot=target != "flux-core/x")
        for headers in COLD_HEADERS:
            yield Case(get(target, headers), hot=False)
        yield Case(get(target, b"Accept-Encoding: zstd\r\n"), hot=target not in {"n/large", "flux-core/x"})
        for query in (b"?", b"?at_least=x", b"?at=1", b"#x"):
            yield Case(get(target, query=query), hot=False)
    for target in ABSENT:
        yield Case(get(target), hot=False)


def _posts() -> Iterator[Case]:
    for good in GOOD_EVENTS:
        for headers in HOT_HEADERS:
            yield Case(post("/api/events", text(good), headers), hot=True)
        for headers in COLD_HEADERS:
            yield Case(post("/api/events", text(good), headers), hot=False)
        small = len(text(good)) <= 400
        yield Case(post("/api/events", text(good), b"Accept-Encoding: gzip\r\n"), hot=small)
    for bad in [
        *BAD_EVENTS,
        event("n/e2", {"v": _nested(140)}),
        event("n/e2", {"v": 1}) | {"x": _nested(140)},
    ]:
        yield Case(post("/api/events", text(bad)), hot=True)
    for body in NO_JSON:
        yield Case(post("/api/events", body), hot=True)
        yield Case(post("/api/events/batch", body), hot=True)
    yield Case(post("/api/events", b" " * (limits.body_single_bytes + 1)), hot=False)
    yield Case(post("/api/events?wait=applied", text(GOOD_EVENTS[0])), hot=False)
    yield Case(post("/api/events/", text(GOOD_EVENTS[0])), hot=False)


def _batches() -> Iterator[Case]:
    mixed = [*GOOD_EVENTS, *BAD_EVENTS, event("n/e2", {"v": _nested(140)})]
    for bodies in (GOOD_EVENTS, BAD_EVENTS, mixed, [GOOD_EVENTS[0]] * 300, [BAD_EVENTS[1]], mixed[::-1]):
        for whole in (bodies, {"events": bodies}, {"events": bodies, "other": 1}):
            yield Case(post("/api/events/batch", text(whole)), hot=True)
        named = [body | {"eventId": "mine"} if isinstance(body, dict) else body for body in bodies]
        yield Case(post("/api/events/batch", text(named), b"Accept-Encoding: zstd\r\n"), hot=False)
        yield Case(post("/api/events/batch?wait=applied", text(bodies)), hot=False)
    for whole in ([], {}, {"events": []}, {"events": 5}, {"events": None}, 7):
        yield Case(post("/api/events/batch", text(whole)), hot=True)


def _manies() -> Iterator[Case]:
    path = "/api/state/entities/get"
    known = ["n/e", "n/large", "wide/1", "n/e", "plain"]
    for ids in (known, known[:1], [], ["n/gone", "n/e"], ["n/none", "n/e"]):
        yield Case(post(path, text({"ids": ids})), hot=True)
        yield Case(post(path, text({"ids": ids, "other": 1})), hot=True)
        yield Case(post(path, text({"ids": ids}), b"Accept-Encoding: zstd\r\n"), hot=False)
        yield Case(post(path, text({"ids": ids}), b"Flux-Position: nonsense\r\n"), hot=False)
    for body in (
        {},
        {"ids": 5},
        {"ids": None},
        [],
        5,
        {"ids": [5]},
        {"ids": [["n/e"]]},
        {"ids": ["", "n/e"]},
    ):
        yield Case(post(path, text(body)), hot=False)
    yield Case(post(path, text({"ids": ["n/e"] * (limits.get_many_ids_max + 1)})), hot=False)
    for body in NO_JSON:
        yield Case(post(path, body), hot=False)


CASES = [*_gets(), *_posts(), *_batches(), *_manies()]


@pytest.fixture
async def ways(standing: Standing) -> TwoWays:
    large = {f"p{number}": "x" * 40 for number in range(20)}
    await standing.publish(*(event(t, large if t == "n/large" else {"v": 1}) for t in TARGETS[:-1]))
    await standing.publish(event("n/gone", {"v": 1}), event("n/gone", {"__deleted__": True}))
    return TwoWays(standing)


def test_there_are_several_hundred_of_them() -> None:
    assert len(CASES) > 300


async def test_both_ways_answer_alike_whether_the_head_is_known_or_not(ways: TwoWays) -> None:
    for case in CASES:
        expected = await ways.plain_way().send(case.request)
        connection = ways.hot_way()
        first = await connection.send(case.request)
        assert alike(first) == alike(expected), case.request[:300]
        if connection.transport.is_closing() or connection.transport.ended:
            continue
        before = ways.hot.answered_hot
        second = await connection.send(case.request)
        assert alike(second) == alike(expected), case.request[:300]
        assert (ways.hot.answered_hot > before) == case.hot, case.request[:300]


async def test_both_ways_answer_alike_however_the_request_is_cut(ways: TwoWays) -> None:
    whole = [
        Case(get("n/e"), hot=True),
        Case(post("/api/events", text(GOOD_EVENTS[1])), hot=True),
        Case(post("/api/events", text(BAD_EVENTS[8])), hot=True),
        Case(post("/api/events/batch", text([GOOD_EVENTS[1], 5])), hot=True),
    ]
    for request, _ in whole:
        expected = alike(await ways.plain_way().send(request))
        connection = ways.hot_way()
        await connection.send(request)  # from here on its head is known
        for cut in range(1, len(request)):
            assert alike(await connection.send(request[:cut], request[cut:])) == expected, cut
        assert alike(await connection.send(*(request[at : at + 1] for at in range(len(request))))) == expected


async def test_both_ways_answer_pipelined_requests_alike_and_in_order(ways: TwoWays) -> None:
    one = [get("n/e"), post("/api/events", text(GOOD_EVENTS[1])), get("n/large"), post("/api/events", b"{")]
    one += [post("/api/events/batch", text([GOOD_EVENTS[1], 5])), get("n/none"), get("n/e")]
    expected = alike(await ways.plain_way().send(b"".join(one), answers=len(one)))
    connection = ways.hot_way()
    for request in one:
        await connection.send(request)
    stream = b"".join(one)
    for size in (1, 3, 50, 117, len(stream)):
        chunks = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert alike(await connection.send(*chunks, answers=len(one))) == expected, size
    assert alike(await connection.send(*one, answers=len(one))) == expected


async def test_the_answer_of_one_door_under_other_cors_origins_is_the_same() -> None:
    standing = await Standing.up(cors_origins="http://here, http://there")
    ways = TwoWays(standing)
    request = post("/api/events", text(GOOD_EVENTS[1]))
    expected = alike(await ways.plain_way().send(request))
    connection = ways.hot_way()
    assert [alike(await connection.send(request)) for _ in range(2)] == [expected] * 2
    assert ways.hot.answered_hot == 1
    await standing.down()
