from __future__ import annotations

import asyncio
from typing import Any

import nats
import nats.errors
import pytest

from flux_actors.errors import Unavailable
from flux_actors.log.connection import NatsAccess, connect
from flux_cluster.ports import free_ports

PASSWORD = "made-up-password"


def test_no_text_of_an_access_holds_the_password() -> None:
    access = NatsAccess("nats://host:4222", "flux", PASSWORD)
    assert PASSWORD not in f"{access} {access!r}"


@pytest.mark.parametrize(
    ("url", "told"),
    [
        (f"nats://flux:{PASSWORD}@host:4222", "nats://host:4222"),
        ("nats://host:4222", "nats://host:4222"),
        (f"flux:{PASSWORD}@host:4222", "host:4222"),
        (f"tls://{PASSWORD}@host", "tls://host"),
    ],
)
@pytest.mark.parametrize("fault", [OSError(), nats.errors.NoServersError(), TimeoutError()])
async def test_server_that_cannot_be_reached_is_told_without_the_login(
    monkeypatch: pytest.MonkeyPatch, url: str, told: str, fault: Exception
) -> None:
    async def refuse(*args: Any, **kwargs: Any) -> None:
        raise fault

    monkeypatch.setattr(nats, "connect", refuse)
    with pytest.raises(Unavailable) as caught:
        await connect(NatsAccess(url), "test")
    assert caught.value.message == f"cannot reach NATS at {told}: {type(fault).__name__}"


@pytest.mark.parametrize(
    ("access", "options"),
    [
        (NatsAccess("u"), {}),
        (NatsAccess("u", "flux", PASSWORD), {"user": "flux", "password": PASSWORD}),
        (NatsAccess("u", credentials_file="f"), {"user_credentials": "f"}),
    ],
)
async def test_login_is_handed_to_the_client(
    monkeypatch: pytest.MonkeyPatch, access: NatsAccess, options: dict[str, str]
) -> None:
    asked: dict[str, Any] = {}

    async def note(url: str, **kwargs: Any) -> str:
        asked.update(kwargs, url=url)
        return "client"

    monkeypatch.setattr(nats, "connect", note)
    assert await connect(access, "test") == "client"
    logins = {name: asked[name] for name in ("user", "password", "user_credentials") if name in asked}
    assert (asked["url"], logins) == ("u", options)
    assert (asked["allow_reconnect"], asked["max_reconnect_attempts"]) == (True, -1)


async def test_address_where_nobody_listens_is_unavailable_within_the_timeout() -> None:
    (port,) = free_ports(1)
    async with asyncio.timeout(1):
        with pytest.raises(Unavailable, match="cannot reach NATS"):
            await connect(NatsAccess(f"nats://127.0.0.1:{port}"), "test", timeout_s=0.1)
