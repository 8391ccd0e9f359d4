"""The connectors' HTTP: GET alone, to checked addresses, bounded in size, time and redirects.

httpcore connects through `CheckedBackend`, so every connection, also that of a redirect, goes to an address
that the rule has seen; names for TLS stay what they were. Proxies of the environment are not used: behind one
nobody could tell where a request ends.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import zlib
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, Final

import httpcore
import httpx

from flux_actors import __version__, limits
from flux_actors.connectors.addresses import AddressRule
from flux_actors.connectors.base import Answer
from flux_actors.errors import Corrupt, Refused, Unavailable

_CONNECTIONS_MAX: Final = 4
_IDLE_S: Final = 30.0
_MOVED: Final = frozenset({301, 302, 303, 307, 308})
_OWN: Final = {
    "Accept": "application/json",
    "Accept-Encoding": "gzip",
    "User-Agent": f"flux-actors/{__version__}",
}
_GZIP: Final = frozenset({"gzip", "x-gzip", "deflate"})
_WINDOW: Final = 47  # zlib finds out by itself whether it is gzip or zlib
_HOST: Final = re.compile(rb"[A-Za-z0-9._-]{1,255}|[0-9A-Fa-f:.]{2,64}")  # a name, or an IPv6 address
_PORT_MAX: Final = 65_535
_PORTS: Final = {"http": 80, "https": 443}


class CheckedBackend(httpcore.AsyncNetworkBackend):
    """Connects to addresses that a rule allows."""

    def __init__(self, rule: AddressRule) -> None:
        self._rule = rule
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Look the host up, check what it stands for, and connect to the first address that answers."""
        failed: Exception | None = None
        for address in await self._rule.addresses(host, port):
            try:
                return await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
        raise failed or httpcore.ConnectError("the name has no address")

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's own signature
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """Never: no URL names one."""
        del path, timeout, socket_options
        raise httpcore.ConnectError("connectors use no local sockets")

    async def sleep(self, seconds: float) -> None:
        """Sleep."""
        await asyncio.sleep(seconds)


class HttpWeb:
    """A `Web` with a few connections of its own."""

    def __init__(self, rule: AddressRule, bytes_max: int, tls: Callable[[], ssl.SSLContext]) -> None:
        self._rule = rule
        self._bytes_max = bytes_max
        self._tls = tls
        self._pool: httpcore.AsyncConnectionPool | None = None

    async def get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Fetch `url`, following redirects; what was meant for one host is not shown to another."""
        target = parse_url(url)
        sent: Mapping[str, str] = {**_OWN, **headers}
        try:
            async with asyncio.timeout(limits.connector_request_s):
                for _ in range(limits.connector_redirects_max + 1):
                    answer = await self._fetch(target, sent)
                    if answer.status not in _MOVED or "location" not in answer.headers:
                        return answer
                    target, sent = _next(target, answer.headers["location"], sent)
        except TimeoutError:
            raise Unavailable(f"no answer within {limits.connector_request_s:.0f} s") from None
        except httpcore.ProtocolError as error:
            raise Corrupt(f"the answer is no valid HTTP ({type(error).__name__})") from None
        except (httpcore.NetworkError, httpcore.TimeoutException, OSError) as error:
            raise Unavailable(f"cannot be reached ({type(error).__name__})") from None
        raise Corrupt(f"redirected more than {limits.connector_redirects_max} times")

    async def close(self) -> None:
        """Close the connections."""
        if self._pool is not None:
            await self._pool.aclose()

    async def _fetch(self, target: httpx.URL, headers: Mapping[str, str]) -> Answer:
        if self._pool is None:
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=self._tls(),
                max_connections=_CONNECTIONS_MAX,
                keepalive_expiry=_IDLE_S,
                network_backend=CheckedBackend(self._rule),
            )
        url = httpcore.URL(
            scheme=target.raw_scheme, host=target.raw_host, port=target.port, target=target.raw_path
        )
        named = [("Host", target.netloc.decode("ascii")), *headers.items()]
        bounds = {"connect": limits.connector_connect_s}
        async with self._pool.stream("GET", url, headers=named, extensions={"timeout": bounds}) as answer:
            found = {
                name.decode("latin-1").lower(): value.decode("latin-1") for name, value in answer.headers
            }
            body = await _body(answer.aiter_stream(), found.get("content-encoding", ""), self._bytes_max)
        return Answer(answer.status, found, body)


def parse_url(text: str) -> httpx.URL:
    """Return a URL that may be fetched.

    Raises:
        Refused: it is none of http or https, or holds a login.
    """
    try:
        url = httpx.URL(text)
    except (httpx.InvalidURL, UnicodeError, ValueError):
        raise Refused("the URL cannot be read; it must be such as https://host/path") from None
    if url.scheme not in _PORTS or not _HOST.fullmatch(url.raw_host) or (url.port or 1) > _PORT_MAX:
        raise Refused("the URL must begin with https:// or http:// and name a host")
    if url.userinfo:
        raise Refused("the URL must hold no login; use auth_type and token")
    return url


def origin_of(url: httpx.URL) -> tuple[str, int]:
    """Return host and port."""
    return url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme]


def _next(
    before: httpx.URL, location: str, headers: Mapping[str, str]
) -> tuple[httpx.URL, Mapping[str, str]]:
    try:
        target = parse_url(str(before.join(location)))
    except (Refused, httpx.InvalidURL, UnicodeError, ValueError):
        raise Corrupt("redirected to something that is no URL of the web") from None
    if before.scheme == "https" and target.scheme != "https":
        raise Corrupt("redirected from https to http")
    same = origin_of(before) == origin_of(target) and before.scheme == target.scheme
    return target, headers if same else _OWN


async def _body(chunks: AsyncIterable[bytes], encoding: str, bytes_max: int) -> bytes:
    """Return a body within its bound, which holds before and after it is decompressed."""
    encoding = encoding.strip().lower()
    if encoding not in _GZIP | {"", "identity"}:
        raise Corrupt(f"the answer is encoded in a way that was not asked for ({encoding[:32]})")
    inflate = zlib.decompressobj(_WINDOW) if encoding in _GZIP else None
    body, received = bytearray(), 0
    async for chunk in chunks:
        received += len(chunk)
        try:
            body += chunk if inflate is None else inflate.decompress(chunk, bytes_max - len(body) + 1)
        except zlib.error:
            raise Corrupt("the answer is no valid gzip") from None
        if received > bytes_max or len(body) > bytes_max:
            raise Corrupt(f"the answer is larger than {bytes_max} bytes")
    if inflate is not None and received and not inflate.eof:
        raise Corrupt("the answer ends too early")
    return bytes(body)
