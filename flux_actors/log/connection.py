"""The connection to NATS: how to reach it, and how it comes back by itself."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Final

import nats
import nats.errors
import structlog
from nats.aio.client import Client

from flux_actors.errors import Unavailable

_log = structlog.get_logger(__name__)
_CHECK_S: Final = 5.0
_PENDING_BYTES: Final = 64 * 1024 * 1024  # what may wait in the client while it reconnects


@dataclass(frozen=True, slots=True)
class NatsAccess:
    """Where NATS is and how to log in; the password is left out of every text of it."""

    url: str
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    credentials_file: str | None = None


async def connect(access: NatsAccess, name: str, timeout_s: float = 10.0) -> Client:
    """Return a client that reconnects for ever.

    Raises:
        Unavailable: there is no NATS server at the address, or it refuses the login.
    """
    options: dict[str, object] = {}
    if access.user is not None:
        options |= {"user": access.user, "password": access.password}
    if access.credentials_file is not None:
        options["user_credentials"] = access.credentials_file
    try:
        async with asyncio.timeout(timeout_s):  # nats-py tries for ever, the first time too
            return await nats.connect(
                access.url,
                name=name,
                connect_timeout=timeout_s,
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.1,
                ping_interval=5,
                max_outstanding_pings=2,
                pending_size=_PENDING_BYTES,
                error_cb=_on_error,
                **options,
            )
    except Exception as error:
        # nats-py raises plain OSError, its own errors and TimeoutError alike here.
        raise Unavailable(
            f"cannot reach NATS at {_without_login(access.url)}: {type(error).__name__}"
        ) from error


async def check_jetstream(access: NatsAccess) -> None:
    """Return when a NATS server with JetStream answers at the address.

    Raises:
        Unavailable: there is none.
    """
    client = await connect(access, "flux-check")
    try:
        await client.jetstream(timeout=_CHECK_S).account_info()
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise Unavailable(
            f"NATS at {_without_login(access.url)} has no JetStream for this login "
            f"({type(error).__name__}); start it with --jetstream, or enable it for the account"
        ) from None
    finally:
        await client.close()


async def _on_error(error: Exception) -> None:
    _log.warning("nats.error", error=type(error).__name__)


def _without_login(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
