"""Which heads are plain, and that their bytes are remembered only where the parser read the same."""

from __future__ import annotations

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.tenancy.principal import ANYONE
from flux_api.hot.heads import Head, HeadMemo, Route, plain_target
from tests.unit.domain.strategies import many


class Parsed:
    """What httptools reads in a head."""

    def __init__(self, data: bytes) -> None:
        self.url = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.complete = False
        self.parser = httptools.HttpRequestParser(self)
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.complete = False

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        self.complete = True


def learnt(head: bytes) -> HeadMemo:
    memo = HeadMemo(lambda _: ANYONE)
    parsed = Parsed(head)
    if parsed.complete:
        memo.learn(head, parsed.parser.get_method(), parsed.url, parsed.headers)
    return memo


def known(head: bytes) -> Head | None:
    memo = learnt(head)
    line, _, rest = head.partition(b"\r\n")
    if plain_target(line) is not None:
        return memo.of_get(b"\r\n" + rest)
    return memo.of_post(head)


def post(url: bytes = b"/api/events", headers: bytes = b"Content-Length: 3\r\n") -> bytes:
    return b"POST %s HTTP/1.1\r\nHost: x\r\n%s\r\n" % (url, headers)


def get(target: bytes = b"n/e", headers: bytes = b"Host: x\r\n") -> bytes:
    return b"GET /api/state/entities/%s HTTP/1.1\r\n%s\r\n" % (target, headers)


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (post(), Head(Route.EVENT, 3, False, ANYONE)),
        (post(b"/api/events/batch"), Head(Route.BATCH, 3, False, ANYONE)),
        (post(b"/api/state/entities/get"), Head(Route.MANY, 3, False, ANYONE)),
        (get(), Head(Route.ENTITY, 0, False, ANYONE)),
        (get(b"a//b.c-d_e~f"), Head(Route.ENTITY, 0, False, ANYONE)),
        (get(headers=b"Host: x\r\nAccept-Encoding: gzip, deflate\r\n"), Head(Route.ENTITY, 0, True, ANYONE)),
        (get(headers=b"Host: x\r\nAccept-Encoding: identity\r\n"), Head(Route.ENTITY, 0, False, ANYONE)),
        (
            post(headers=b"Content-Length: 3\r\nConnection: Keep-Alive\r\n"),
            Head(Route.EVENT, 3, False, ANYONE),
        ),
        (
            post(headers=b"Content-Type: text/plain\r\nContent-Length: 0\r\n"),
            Head(Route.EVENT, 0, False, ANYONE),
        ),
    ],
)
def test_plain_heads_are_known_the_second_time(head: bytes, expected: Head) -> None:
    assert known(head) == expected


@pytest.mark.parametrize(
    "head",
    [
        post(b"/api/events?wait=applied"),
        post(b"/api/events/"),
        post(b"/api/eventS"),
        post(headers=b""),
        post(headers=b"Transfer-Encoding: chunked\r\n"),
        post(headers=b"Content-Length: 3\r\nExpect: 100-continue\r\n"),
        post(headers=b"Content-Length: 3\r\nPrefer: wait=applied\r\n"),
        post(headers=b'Content-Length: 3\r\nIf-Match: "1"\r\n'),
        post(headers=b"Content-Length: 3\r\nIf-None-Match: *\r\n"),
        post(headers=b"Content-Length: 3\r\nOrigin: http://x\r\n"),
        post(headers=b"Content-Length: 3\r\nX-Request-Id: 5\r\n"),
        post(headers=b"Content-Length: 3\r\nConnection: close\r\n"),
        post(headers=b"Content-Length: 3\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"),
        post(headers=b"Content-Length: 3\r\nFlux-Position: 0.1.0\r\n"),
        post(headers=b"Content-Length: 3\r\nContent-Encoding: gzip\r\n"),
        post(headers=b"Content-Length: 99999999999\r\n"),
        post(headers=b"Content-Length: 3\r\nContent-Length: 3\r\n"),
        post(headers=b"Content-Length: +3\r\n"),
        get(b"a%2Fb"),
        get(b"n/e?at=1"),
        get(b"n/e#x"),
        get(b""),
        get(b"n/\xc3\xbc"),
        get(headers=b"Host: x\r\nContent-Length: 0\r\n"),
        get(headers=b"Host: x\r\nIf-None-Match: *\r\n"),
        get(headers=b"Host: x\r\nFlux-Position: 0.1.0\r\n"),
        get().replace(b"1.1", b"1.0"),
        b"PUT" + post()[4:],
        b"HEAD" + get()[3:],
        post().replace(b"\r\n", b"\n"),
        b"\r\n" + post(),
        post(headers=b"Accept: a,\r\n b\r\nContent-Length: 3\r\n"),
        post(headers=b"Accept: %s\r\nContent-Length: 3\r\n" % (b"x" * limits.hot_head_bytes_max)),
    ],
)
def test_any_other_head_is_parsed_each_time(head: bytes) -> None:
    assert known(head) is None


def test_a_head_that_ends_where_only_the_parser_knows_is_not_remembered() -> None:
    """Its bytes up to CR LF CR LF hold a part of the body: the same bytes could mean another request."""
    chunk = b"POST /api/events HTTP/1.1\nContent-Length: 20\n\nabc\r\n\r\n"
    parsed = Parsed(chunk)
    memo = HeadMemo(lambda _: ANYONE)
    memo.learn(chunk, b"POST", b"/api/events", parsed.headers or [(b"content-length", b"20")])
    assert memo.of_post(chunk) is None


def test_a_head_that_has_not_come_whole_is_not_remembered() -> None:
    memo = HeadMemo(lambda _: ANYONE)
    memo.learn(post()[:-1], b"POST", b"/api/events", [(b"host", b"x"), (b"content-length", b"3")])
    assert memo.of_post(post()[:-1]) is None


def test_what_follows_a_head_is_no_part_of_it() -> None:
    memo = HeadMemo(lambda _: ANYONE)
    memo.learn(post() + b"{}\r\n\r\n", b"POST", b"/api/events", [(b"host", b"x"), (b"content-length", b"3")])
    assert memo.of_post(post()) == Head(Route.EVENT, 3, compresses=False, principal=ANYONE)


def test_the_memo_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "hot_heads_max", 10)
    memo = HeadMemo(lambda _: ANYONE)
    for number in range(95):
        agent = b"%d" % number
        memo.learn(
            post(headers=b"User-Agent: %s\r\nContent-Length: 3\r\n" % agent),
            b"POST",
            b"/api/events",
            [(b"host", b"x"), (b"user-agent", agent), (b"content-length", b"3")],
        )
    assert len(memo._posts) == 5  # noqa: SLF001 - the bound is the point


@given(
    st.lists(
        st.sampled_from([b"Host: x", b"Accept: */*", b"Content-Length: 3", b"A", b"\r\n", b"\n", b" ", b":"])
    )
)
@many
def test_no_bytes_are_remembered_but_those_of_a_whole_head(parts: list[bytes]) -> None:
    """Whatever is remembered, parsing just these bytes ends the head exactly at their end."""
    chunk = b"POST /api/events HTTP/1.1\r\n" + b"".join(parts) + b"\r\n\r\nrest"
    memo = learnt(chunk)
    for head in memo._posts:  # noqa: SLF001 - what it holds is the point
        assert Parsed(head).complete
        assert not Parsed(head[:-1]).complete
        assert chunk.startswith(head)


def test_whole_requests_are_remembered_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "hot_requests_max", 10)
    memo = HeadMemo(lambda _: ANYONE)
    for number in range(95):
        memo.remember_whole(get(b"n/%d" % number), f"n/{number}")
    assert memo.whole_gets[get(b"n/94")] == "n/94"
    assert len(memo.whole_gets) <= 10
    long = get(headers=b"Host: %s\r\n" % (b"x" * limits.hot_request_bytes_max))
    memo.remember_whole(long, "n/e")
    assert long not in memo.whole_gets
