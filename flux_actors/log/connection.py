"""The connection to NATS: how to reach it, and how it comes back by itself."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import nats.errors
import structlog
from nats.aio.client import Client

from flux_actors import limits
from flux_actors.errors import Refused, Unavailable
from flux_actors.tls import client_context

if TYPE_CHECKING:
    from flux_actors.settings import Settings  # shards, which only connect, need no pydantic for it

_log = structlog.get_logger(__name__)
_CHECK_S: Final = 5.0
_CANCEL_AGAIN_S: Final = 0.05
_PENDING_BYTES: Final = 64 * 1024 * 1024  # what may wait in the client while it reconnects


@dataclass(frozen=True, slots=True)
class NatsAccess:
    """Where NATS is and how to log in; the password is left out of every text of it."""

    url: str  # of one server, or of several, comma separated
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    credentials_file: str | None = None
    ca_file: str | None = None  # authorities to check the servers by; those of this machine if there is none
    certificate_file: str | None = None  # what the servers check this client by
    key_file: str | None = None
    site: str = ""  # which of several Ray clusters on this log it is used by (flux_actors/log/sites.py)

    @classmethod
    def of_settings(cls, settings: Settings, site: str = "") -> NatsAccess:
        """Return the way to an external NATS."""
        password = settings.nats_password
        files = (settings.nats_credentials, settings.nats_ca, settings.nats_cert, settings.nats_key)
        credentials, ca, certificate, key = (str(file) if file is not None else None for file in files)
        return cls(
            settings.nats_url or "",
            settings.nats_user,
            password.get_secret_value() if password is not None else None,
            credentials,
            ca,
            certificate,
            key,
            site,
        )

    @property
    def servers(self) -> list[str]:
        """The URLs of the servers."""
        return [url.strip() for url in self.url.split(",") if url.strip()]

    @property
    def asks_for_tls(self) -> bool:
        """Whether a server must prove who it is before it is told anything."""
        return bool(self.ca_file or self.certificate_file) or any(
            url.startswith("tls://") for url in self.servers
        )


class TlsClient(Client):
    """A client that logs in over TLS or not at all: nats-py goes on in the clear where a server has none."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise nats.errors.SecureConnWantedError
        return super()._connect_command()


async def connect(access: NatsAccess, name: str, timeout_s: float = 10.0) -> Client:
    """Return a client that reconnects for ever, to whichever of the servers answers.

    Raises:
        Unavailable: there is no NATS server at the address, or it refuses the login.
        Refused: the files of TLS cannot be used.
    """
    faults: list[Exception] = []

    async def note(error: Exception) -> None:
        faults.append(error)
        del faults[:-1]
        await _on_error(error)

    client = TlsClient() if access.asks_for_tls else Client()
    options = _options(access, name, timeout_s, note)
    try:
        await _within(timeout_s, client.connect(access.servers, **options))
        return client
    except Exception as error:
        # nats-py raises plain OSError, its own errors and TimeoutError alike here.
        raise Unavailable(f"cannot reach NATS at {_told(access)}: {_reason(error, faults)}") from error


async def _within(timeout_s: float, attempt: Coroutine[Any, Any, None]) -> None:
    """Await an attempt to connect: nats-py tries for ever, the first time too.

    That is cancelled until it has ended: nats-py loses a cancellation that comes while it closes a
    connection, or just as one is made, and goes on.
    """
    task = asyncio.create_task(attempt)
    try:
        await asyncio.wait([task], timeout=timeout_s)
    finally:
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=_CANCEL_AGAIN_S)
    if task.cancelled():
        raise TimeoutError
    task.result()


def _options(
    access: NatsAccess, name: str, timeout_s: float, on_error: Callable[[Exception], Awaitable[None]]
) -> dict[str, Any]:
    options: dict[str, Any] = {
        "name": name,
        "connect_timeout": timeout_s,
        "allow_reconnect": True,
        "max_reconnect_attempts": -1,
        "reconnect_time_wait": 0.1,
        "ping_interval": 5,
        "max_outstanding_pings": 2,
        "pending_size": _PENDING_BYTES,
        "error_cb": on_error,
    }
    if access.user is not None:
        options |= {"user": access.user, "password": access.password}
    if access.credentials_file is not None:
        options["user_credentials"] = access.credentials_file
    if access.asks_for_tls:
        options["tls"] = client_context(
            *(
                Path(file) if file else None
                for file in (access.ca_file, access.certificate_file, access.key_file)
            )
        )
    return options


def _reason(error: Exception, faults: list[Exception]) -> str:
    """Return why it failed: of a time that ran out, what went wrong in it says more."""
    told = faults[-1] if faults and isinstance(error, TimeoutError) else error
    match told:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted ({told.verify_message}); check FLUX_NATS_CA"
        case nats.errors.SecureConnWantedError():
            return "it offers no TLS, which was asked for, so it was told no login"
        case _:
            return type(told).__name__


async def check_jetstream(access: NatsAccess) -> None:
    """Return when a NATS server with JetStream answers at the address.

    Raises:
        Unavailable: there is none.
        Refused: it takes smaller messages than events may be.
    """
    client = await connect(access, "flux-check")
    try:
        if client.max_payload < limits.nats_payload_bytes_max:
            raise Refused(
                f"NATS at {_told(access)} takes messages of {client.max_payload} bytes; "
                f"set `max_payload: {limits.nats_payload_bytes_max}` in its configuration"
            )
        await client.jetstream(timeout=_CHECK_S).account_info()
    except (nats.errors.Error, TimeoutError, OSError) as error:
        raise Unavailable(
            f"NATS at {_told(access)} has no JetStream for this login "
            f"({type(error).__name__}); start it with --jetstream, or enable it for the account"
        ) from None
    finally:
        await client.close()


async def _on_error(error: Exception) -> None:
    _log.warning("nats.error", error=type(error).__name__)


def _told(access: NatsAccess) -> str:
    return ", ".join(map(_without_login, access.servers))


def _without_login(url: str) -> str:
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"
