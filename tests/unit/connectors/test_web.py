"""The connectors' HTTP against a real server: addresses, redirects, sizes, times, nonsense."""

from __future__ import annotations

import gzip
import ssl
import zlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.connectors.addresses import AddressRule
from flux_actors.connectors.web import HttpWeb, parse_url
from flux_actors.errors import Corrupt, Refused, Unavailable
from tests.certificates import make_pair
from tests.unit.connectors.fake_api import FakeApi, Reply

BYTES_MAX = 10_000
PRIVATE = "private, loopback or metadata"


@pytest.fixture
async def api() -> AsyncIterator[FakeApi]:
    async with FakeApi(lambda asked: Reply.of({"path": asked.path})).serving() as api:
        yield api


@pytest.fixture
async def web() -> AsyncIterator[HttpWeb]:
    """A web that may call this machine."""
    web = HttpWeb(AddressRule(allow_private=True), BYTES_MAX, ssl.create_default_context)
    yield web
    await web.close()


@pytest.fixture
async def careful(api: FakeApi) -> AsyncIterator[HttpWeb]:
    """A web that may call nothing of this machine but the server of the test."""
    rule = AddressRule(allow_private=False, trusted=("127.0.0.1", api.port))
    web = HttpWeb(rule, BYTES_MAX, ssl.create_default_context)
    yield web
    await web.close()


async def test_an_answer_is_what_the_server_said(api, web):
    answer = await web.get(f"{api.url}/a/b%2Fc?d=e%20f#g", {"X-Key": "k"})
    assert (answer.status, answer.json()) == (200, {"path": "/a/b%2Fc?d=e%20f"})
    (asked,) = api.asked
    assert asked.headers["host"] == f"127.0.0.1:{api.port}"
    assert asked.headers["x-key"] == "k"
    assert asked.headers["user-agent"].startswith("flux-actors/")


async def test_connections_are_used_again(api, web):
    for _ in range(3):
        await web.get(api.url, {})
    assert {asked.connection for asked in api.asked} == {1}


@pytest.mark.parametrize("status", [204, 304, 404, 500])
async def test_every_status_is_an_answer(api, web, status):
    api.answer = lambda _: Reply(status, b"", {"ETag": '"x"'})
    answer = await web.get(api.url, {})
    assert (answer.status, answer.headers["etag"]) == (status, '"x"')


URLS = ["ftp://a/", "file:///etc/passwd", "http:///x", "//host/x", "x", "", "http://[::1", "http://a:99999/"]


@pytest.mark.parametrize(
    "url", [*URLS, "http://me:secret@example.com/", "https://me@example.com/", "http://\0/"]
)
async def test_what_is_no_url_of_the_web_is_refused_without_telling_it(web, url):
    with pytest.raises(Refused) as refused:
        await web.get(url, {})
    assert "secret" not in refused.value.message


class TestAddresses:
    async def test_this_machine_is_not_called(self, api):
        web = HttpWeb(AddressRule(allow_private=False), BYTES_MAX, ssl.create_default_context)
        for host in ("127.0.0.1", "localhost", "2130706433", "127.1", "[::1]", "[::ffff:127.0.0.1]"):
            with pytest.raises((Refused, Unavailable)):
                await web.get(f"http://{host}:{api.port}/", {})
        assert api.asked == []

    async def test_a_connection_goes_to_the_address_that_was_checked(self, api):
        """Between check and connect there is no second look-up that could answer otherwise."""
        answers = [["127.0.0.1"]]

        async def look_up(host: str, port: int) -> list[str]:
            return answers.pop()

        rule = AddressRule(allow_private=True, look_up=look_up)
        web = HttpWeb(rule, BYTES_MAX, ssl.create_default_context)
        assert (await web.get(f"http://api.example:{api.port}/x", {})).status == 200
        assert api.asked[0].headers["host"] == f"api.example:{api.port}"
        await web.close()

    async def test_a_name_that_is_bound_anew_is_checked_with_the_next_connection(self, api):
        bound = {"api.example": ["127.0.0.1"]}

        async def look_up(host: str, port: int) -> list[str]:
            return bound[host]

        rule = AddressRule(allow_private=False, trusted=("other.example", 1), look_up=look_up)
        web = HttpWeb(rule, BYTES_MAX, ssl.create_default_context)
        with pytest.raises(Refused, match=PRIVATE):
            await web.get(f"http://api.example:{api.port}/", {})
        assert api.asked == []

    async def test_the_next_address_of_a_name_is_tried(self, api):
        async def look_up(host: str, port: int) -> list[str]:
            return ["127.255.255.1", "127.0.0.1"]

        web = HttpWeb(AddressRule(allow_private=True, look_up=look_up), BYTES_MAX, ssl.create_default_context)
        assert (await web.get(f"http://api.example:{api.port}/", {})).status == 200
        await web.close()


def redirect(target: str, status: int = 302) -> Reply:
    return Reply(status, b"", {"Location": target})


class TestRedirects:
    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    async def test_one_is_followed_with_the_headers_to_the_same_host(self, api, web, status):
        api.answer = lambda asked: redirect("/new?a=b", status) if asked.path == "/old" else Reply.of(1)
        assert (await web.get(f"{api.url}/old", {"Authorization": "Bearer t"})).json() == 1
        assert [(a.path, a.headers.get("authorization")) for a in api.asked] == [
            ("/old", "Bearer t"),
            ("/new?a=b", "Bearer t"),
        ]

    async def test_another_host_is_not_shown_what_was_meant_for_the_first(self, api, web):
        async with FakeApi(lambda _: Reply.of(2)).serving() as other:
            api.answer = lambda _: redirect(f"{other.url}/x")
            assert (await web.get(api.url, {"Authorization": "t", "X-Api-Key": "k"})).json() == 2
            assert not {"authorization", "x-api-key"} & other.asked[0].headers.keys()

    @pytest.mark.parametrize(
        "target",
        [
            "http://127.0.0.1:1/",
            "http://169.254.169.254/latest/meta-data/",
            "http://[::1]:1/",
            "http://2130706433/",
            "http://localhost/",
            "http://metadata.google.internal/",
        ],
    )
    async def test_one_to_a_private_address_is_refused(self, api, careful, target):
        api.answer = lambda _: redirect(target)
        with pytest.raises(Refused, match=PRIVATE):
            await careful.get(api.url, {})

    @pytest.mark.parametrize(
        "target", ["file:///etc/passwd", "gopher://x/", "http://u:p@h/", "http://[", "ftp:x"]
    )
    async def test_one_to_no_address_of_the_web_is_no_answer(self, api, web, target):
        api.answer = lambda _: redirect(target)
        with pytest.raises(Corrupt, match="no URL of the web"):
            await web.get(api.url, {})

    async def test_a_ring_ends(self, api, web):
        api.answer = lambda _: redirect("/again")
        with pytest.raises(Corrupt, match="more than 5 times"):
            await web.get(api.url, {})
        assert len(api.asked) == limits.connector_redirects_max + 1

    async def test_one_without_a_target_is_an_answer(self, api, web):
        api.answer = lambda _: Reply(302, b"")
        assert (await web.get(api.url, {})).status == 302


def packed(data: bytes, **headers: str) -> Reply:
    return Reply(200, gzip.compress(data), {"Content-Encoding": "gzip", **headers})


class TestBodies:
    async def test_gzip_is_unpacked(self, api, web):
        api.answer = lambda _: packed(b'{"a":1}')
        assert (await web.get(api.url, {})).json() == {"a": 1}
        assert api.asked[0].headers["accept-encoding"] == "gzip"

    async def test_zlib_is_unpacked(self, api, web):
        api.answer = lambda _: Reply(200, zlib.compress(b"[1]"), {"Content-Encoding": "deflate"})
        assert (await web.get(api.url, {})).json() == [1]

    @pytest.mark.parametrize("size", [BYTES_MAX - 1, BYTES_MAX])
    async def test_the_bound_itself_is_allowed(self, api, web, size):
        for reply in (Reply(200, b"x" * size), packed(b"x" * size)):
            api.answer = lambda _, reply=reply: reply
            assert len((await web.get(api.url, {})).body) == size

    @pytest.mark.parametrize("reply", [Reply(200, b"x" * (BYTES_MAX + 1)), packed(b"x" * (BYTES_MAX + 1))])
    async def test_a_byte_more_is_not(self, api, web, reply):
        api.answer = lambda _: reply
        with pytest.raises(Corrupt, match=f"larger than {BYTES_MAX} bytes"):
            await web.get(api.url, {})

    async def test_a_bomb_is_not_unpacked_further_than_its_bound(self, api, web, monkeypatch):
        made: list[Any] = []

        class Watched:
            """zlib's own, which tells how much it ever gave out."""

            def __init__(self, window: int) -> None:
                self._inner, self.given = zlib.decompressobj(window), 0
                made.append(self)

            def __getattr__(self, name: str) -> Any:
                return getattr(self._inner, name)

            def decompress(self, data: bytes, most: int) -> bytes:
                out = self._inner.decompress(data, most)
                self.given += len(out)
                return out

        fake_zlib = type("zlib", (), {"decompressobj": Watched, "error": zlib.error})
        monkeypatch.setattr("flux_actors.connectors.web.zlib", fake_zlib)
        api.answer = lambda _: packed(bytes(5_000_000))
        with pytest.raises(Corrupt, match="larger"):
            await web.get(api.url, {})
        assert made[0].given <= BYTES_MAX + 1

    async def test_an_endless_body_ends_at_the_bound(self, api, web):
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"1000\r\n" + b"x" * 0x1000 + b"\r\n"
        api.answer = lambda _: Reply(raw=head + chunk * 100)
        with pytest.raises(Corrupt, match="larger"):
            await web.get(api.url, {})

    @pytest.mark.parametrize(
        "reply",
        [
            Reply(200, b"no gzip", {"Content-Encoding": "gzip"}),
            Reply(200, gzip.compress(b"x" * 500)[:-9], {"Content-Encoding": "gzip"}),
            Reply(200, b"x", {"Content-Encoding": "br"}),
            Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
            Reply(raw=b"no HTTP at all\r\n\r\n"),
            Reply(raw=b"HTTP/1.1 999999 ?\r\n\r\n"),
            Reply(raw=b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000 + b"\r\n\r\n"),
        ],
        ids=["no-gzip", "cut-gzip", "brotli", "length", "no-http", "status", "long-header"],
    )
    async def test_an_answer_that_makes_no_sense_is_told_as_such(self, api, web, reply):
        api.answer = lambda _: reply
        with pytest.raises(Corrupt):
            await web.get(api.url, {})


class TestTimes:
    async def test_a_slow_answer_is_given_up(self, api, web, monkeypatch):
        monkeypatch.setattr(limits, "connector_request_s", 0.1)
        api.answer = lambda _: Reply(pause_s=30)
        with pytest.raises(Unavailable, match="no answer within"):
            await web.get(api.url, {})

    async def test_one_that_drips_is_given_up_all_the_same(self, api, web, monkeypatch):
        monkeypatch.setattr(limits, "connector_request_s", 0.1)
        api.answer = lambda _: Reply(200, b"x" * 1000, pieces=1000, pause_s=0.01)
        with pytest.raises(Unavailable, match="no answer within"):
            await web.get(api.url, {})

    async def test_after_one_that_was_given_up_the_next_is_answered(self, api, web, monkeypatch):
        monkeypatch.setattr(limits, "connector_request_s", 0.1)
        for _ in range(6):  # more than there are connections
            api.answer = lambda _: Reply(pause_s=30)
            with pytest.raises(Unavailable):
                await web.get(api.url, {})
        api.answer = lambda _: Reply.of(1)
        monkeypatch.setattr(limits, "connector_request_s", 5.0)
        assert (await web.get(api.url, {})).json() == 1

    async def test_nobody_there_is_told(self, api, web):
        port = api.port
        async with FakeApi(lambda _: Reply()).serving() as gone:
            port = gone.port
        with pytest.raises(Unavailable, match="cannot be reached"):
            await web.get(f"http://127.0.0.1:{port}/", {})

    async def test_a_connection_that_breaks_is_told(self, api, web):
        api.answer = lambda _: Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nabc")

        async def serve_and_close(reader: Any, writer: Any) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(api.answer(None).bytes())
            writer.close()

        import asyncio  # noqa: PLC0415 - this test alone makes a server of its own

        server = await asyncio.start_server(serve_and_close, "127.0.0.1", 0)
        async with server:
            with pytest.raises((Unavailable, Corrupt)):
                await web.get(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/", {})


class TestTls:
    @pytest.fixture
    async def secure(self, tmp_path) -> AsyncIterator[tuple[FakeApi, Any]]:
        """A server whose certificate is that of `api.example`, and a maker of webs that trust it."""
        pair = make_pair(tmp_path, "api.example")
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(pair.certificate, pair.key)

        async def look_up(host: str, port: int) -> list[str]:
            return ["127.0.0.1"]

        rule = AddressRule(allow_private=True, look_up=look_up)
        trusting = HttpWeb(rule, BYTES_MAX, lambda: ssl.create_default_context(cafile=pair.certificate))
        async with FakeApi(lambda _: Reply.of(1)).serving(theirs) as api:
            yield api, trusting
        await trusting.close()

    async def test_the_name_is_checked_though_the_connection_goes_to_an_address(self, secure):
        api, web = secure
        assert (await web.get(f"https://api.example:{api.port}/", {})).json() == 1
        with pytest.raises(Unavailable):
            await web.get(f"https://other.example:{api.port}/", {})

    async def test_a_certificate_that_nobody_vouches_for_is_not_trusted(self, secure):
        api, _ = secure
        web = HttpWeb(AddressRule(allow_private=True), BYTES_MAX, ssl.create_default_context)
        with pytest.raises(Unavailable):
            await web.get(f"https://127.0.0.1:{api.port}/", {})
        assert api.asked == []

    async def test_what_began_encrypted_does_not_go_on_in_the_clear(self, secure):
        api, web = secure
        api.answer = lambda _: redirect("http://api.example/")
        with pytest.raises(Corrupt, match="from https to http"):
            await web.get(f"https://api.example:{api.port}/", {"Authorization": "t"})


def test_a_name_of_other_letters_is_asked_for_as_dns_knows_it():
    assert parse_url("https://bücher.example/x").raw_host == b"xn--bcher-kva.example"
