"""Addresses that a connector must not call, and the look-up that a connection is bound to.

A client may name any URL, so a connector could be made to call what only this machine or its network can
reach: a database, a cloud's metadata service. So only public addresses are called. A name is looked up once
per connection, all that it stands for is checked, and the connection goes to one of the addresses that
were checked: between check and connect there is no second look-up that could answer otherwise. A redirect is
another connection, so it is checked as well.

Every way to write an address (`127.1`, `0x7f000001`, `2130706433`, `::ffff:127.0.0.1`) is read by the
system's own look-up and judged by what it stands for.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable
from typing import Final

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable

LookUp = Callable[[str, int], Awaitable[list[str]]]
# Of the IANA registries of special addresses (RFC 6890); Python's `is_global` differs by release.
_NOT_PUBLIC_4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            *("0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12"),
            *("192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15"),
            *("198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/3"),
            "168.63.129.16/32",  # the metadata service of Azure, in public space
        ),
    )
)
_PUBLIC_6: Final = ipaddress.IPv6Network("2000::/3")  # all that was ever given out
_NOT_PUBLIC_6: Final = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_LEADS_TO_4: Final = tuple(  # networks that lead to an IPv4 address, and where that stands in them
    (ipaddress.IPv6Network(network), shift)
    for network, shift in (("::ffff:0:0/96", 0), ("64:ff9b::/96", 0), ("2002::/16", 80))
)
_PRIVATE_NAMES: Final = (".localhost", ".local", ".internal", ".home.arpa", ".localdomain")
_ALLOW: Final = "the operator can allow it with FLUX_CONNECTORS_ALLOW_PRIVATE=true"


def is_public(text: str) -> bool:
    """Whether an address in its usual form is one of the open internet."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return _is_public_4(address)
    for network, shift in _LEADS_TO_4:
        if address in network:
            return _is_public_4(ipaddress.IPv4Address(int(address) >> shift & 0xFFFF_FFFF))
    return address in _PUBLIC_6 and not any(address in network for network in _NOT_PUBLIC_6)


def _is_public_4(address: ipaddress.IPv4Address) -> bool:
    return not any(address in network for network in _NOT_PUBLIC_4)


def is_private_name(host: str) -> bool:
    """Whether a name is one that only a local network answers, wherever it is looked up."""
    name = host.rstrip(".").lower()
    return name == "localhost" or f".{name}".endswith(_PRIVATE_NAMES)


async def look_up(host: str, port: int) -> list[str]:
    """Return the addresses of a host, each once.

    Raises:
        Unavailable: there are none, or nobody says so in time.
    """
    try:
        async with asyncio.timeout(limits.connector_connect_s):
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError, ValueError):
        raise Unavailable(f"the name {host[:255]} could not be looked up") from None
    return list(dict.fromkeys(str(row[4][0]) for row in found))


class AddressRule:
    """Says where a connection may go; `trusted` is the host and port of an API that the operator has set."""

    def __init__(
        self, *, allow_private: bool, trusted: tuple[str, int] | None = None, look_up: LookUp = look_up
    ) -> None:
        self._allow_private = allow_private
        self._trusted = trusted
        self._look_up = look_up

    async def addresses(self, host: str, port: int) -> list[str]:
        """Return the addresses of `host` that may be connected to: all that it has.

        Raises:
            Refused: one of them is not public.
            Unavailable: there are none.
        """
        if self._allow_private or (host, port) == self._trusted:
            return await self._look_up(host, port)
        if is_private_name(host):
            raise _refused(host)
        found = await self._look_up(host, port)
        if not all(map(is_public, found)):
            raise _refused(host)
        return found

    async def check(self, host: str, port: int) -> None:
        """Refuse a host that is not public; one that is not known now may be later, and is checked then."""
        try:
            await self.addresses(host, port)
        except Unavailable:
            return


def _refused(host: str) -> Refused:
    return Refused(f"{host[:255]} is a private, loopback or metadata address; {_ALLOW}")
