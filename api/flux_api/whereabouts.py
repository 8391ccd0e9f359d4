"""Under which URL a door is reached, from this machine or from another node."""

from __future__ import annotations

from typing import Final

from flux_actors.settings import Settings

_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104 - addresses to recognise, not to listen on


def url_of(settings: Settings, address: str) -> str:
    """Return the URL of a door; `address` stands for this machine where the door listens on all of its own."""
    host = address if settings.host in _EVERYWHERE else settings.host
    scheme = "https" if settings.tls else "http"
    return f"{scheme}://{f'[{host}]' if ':' in host else host}:{settings.port}"
