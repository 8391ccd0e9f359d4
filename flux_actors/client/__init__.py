"""Clients of Flux in Python: HTTP, a WebSocket watcher, and this machine as a source of input.

They speak the published API and nothing else, so they work against any Flux server. May import: `errors`,
`limits`, `settings`, `tls`, `domain`, httpx, websockets, psutil. Must never import Ray or NATS, read a token
from anywhere but an argument, log one, or put one into a URL.
"""

from __future__ import annotations

from typing import Final

DEFAULT_URL: Final = "http://localhost:3000"
