"""Whom a client of an HTTPS address trusts."""

from __future__ import annotations

import ssl
from functools import lru_cache
from pathlib import Path

from flux_actors.tls import trust_in_authorities


@lru_cache(maxsize=4)
def trust(authorities: Path | None) -> ssl.SSLContext:
    """Return the context of connections that trust `authorities`, or those of this machine.

    To read those of a machine takes 20 to 80 ms, so a process does it once.
    """
    return trust_in_authorities(authorities)
