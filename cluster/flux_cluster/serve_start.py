"""Starting Ray Serve with its own proxies, one of which may be late or find its port taken for a moment."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, Final

from ray import serve
from ray.exceptions import RayError
from ray.serve.schema import ProxyStatus

from flux_actors.errors import Unavailable
from flux_cluster.ray_words import words_of

_PROXIES_S: Final = 30.0
_POLL_S: Final = 0.1


def start_serve(options: dict[str, Any], progress: Callable[[str], None]) -> None:
    """Start Serve on this Ray cluster; return when each of its proxies takes connections.

    Serve ends a proxy that cannot listen, or is slow to begin, and starts another in its place. It passes on
    what befell the first all the same, which is no reason to give up.

    Raises:
        Unavailable: no proxy comes up; the text says what befell the first.
    """
    try:
        serve.start(http_options=options)
    except (RayError, TimeoutError) as error:
        progress(f"waiting for another of Serve's proxies ({_words(error)})")
        _await_proxies(error)


def _await_proxies(fault: Exception) -> None:
    deadline = time.monotonic() + _PROXIES_S
    while time.monotonic() < deadline:
        proxies = serve.status().proxies.values()
        if proxies and all(proxy == ProxyStatus.HEALTHY for proxy in proxies):
            return
        time.sleep(_POLL_S)
    reason = f"Ray Serve's proxy does not come up: {_words(fault)}"
    raise Unavailable(f"{reason}; if another program took its port, choose with FLUX_SERVE_PORT") from fault


def _words(error: Exception) -> str:
    return words_of(error).rstrip(".") or type(error).__name__
