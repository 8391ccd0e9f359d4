"""Under which URL a door is reached, from this machine or from another node."""

from __future__ import annotations

from typing import Final

import ray

from flux_actors.settings import Settings

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - to recognise, not to listen on


def node_address() -> str:
    """Return the address by which other nodes of the Ray cluster know this one."""
    address: str = ray.util.get_node_ip_address()  # type: ignore[no-untyped-call]
    return address


def url_of(settings: Settings, address: str) -> str:
    """Return the URL of a door; `address` stands for its node where it listens on all of its addresses."""
    host = address if settings.host in _EVERYWHERE else settings.host
    scheme = "https" if settings.tls else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"
