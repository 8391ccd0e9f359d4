"""What it means when NATS does not make a stream: that it can never keep so many copies, or cannot now."""

from __future__ import annotations

from typing import Final

from nats.js.errors import APIError

from flux_actors.errors import FluxError, Refused, Unavailable

_NOT_CLUSTERED: Final = 10074  # JetStream's own number for copies that a single server was asked for
_NO_PEERS: Final = 10005  # … for more copies than there are servers just now


def fault_of(error: Exception, what: str, replicas: int) -> FluxError:
    """Return the error to raise; `what` could not be made with `replicas` copies."""
    code = error.err_code if isinstance(error, APIError) else None
    if code == _NOT_CLUSTERED:
        return Refused(
            f"NATS is a single server and cannot keep {replicas} copies of {what}; set FLUX_LOG_REPLICAS "
            "to 1, or name a NATS cluster with FLUX_NATS_URL"
        )
    if code == _NO_PEERS:
        return Unavailable(f"NATS has fewer than {replicas} servers with JetStream for {what} just now")
    return Unavailable(f"{what} cannot be made ({type(error).__name__})")
