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

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
LookUp = Callable[[str, int], Awaitable[list[str]]]
_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_COMPATIBLE: Final = ipaddress.ip_network("::/96")
_PUBLIC_METADATA: Final = frozenset({ipaddress.ip_address("168.63.129.16")})  # Azure's, in public space
_PRIVATE_NAMES: Final = (".localhost", ".local", ".internal", ".home.arpa", ".localdomain")
_ALLOW: Final = "the operator can allow it with FLUX_CONNECTORS_ALLOW_PRIVATE=true"


def is_public(text: str) -> bool:
    """Whether an address in its usual form is one of the open internet."""
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return all(map(_is_public, [address, *_inside(address)]))


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv6Address) and address.is_site_local:
        return False
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and address not in _PUBLIC_METADATA
    )


def _inside(address: Address) -> list[Address]:
    """Return the IPv4 addresses that an IPv6 address leads to."""
    if isinstance(address, ipaddress.IPv4Address):
        return []
    teredo = address.teredo or ()
    found: list[Address | None] = [address.ipv4_mapped, address.sixtofour, *teredo]
    if address in _NAT64 or address in _COMPATIBLE:
        found.append(ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF))
    return [inner for inner in found if inner is not None]


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
