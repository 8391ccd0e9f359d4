from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nats.errors
import pytest
from nats.aio.client import Client

from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess, check_jetstream, connect
from flux_actors.settings import Settings
from flux_actors.settings_loading import load_settings
from flux_cluster.ports import free_ports
from tests.certificates import make_pair

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

    monkeypatch.setattr(Client, "connect", refuse)
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

    async def note(_: Client, url: str, **kwargs: Any) -> None:
        asked.update(kwargs, url=url)

    monkeypatch.setattr(Client, "connect", note)
    assert type(await connect(access, "test")) is Client
    logins = {name: asked[name] for name in ("user", "password", "user_credentials") if name in asked}
    assert (asked["url"], logins) == (["u"], options)
    assert (asked["allow_reconnect"], asked["max_reconnect_attempts"]) == (True, -1)


async def test_it_gives_up_although_nats_py_loses_a_cancellation(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = []

    async def goes_on(*_: Any, **__: Any) -> None:
        while len(lost) < 3:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError as cancellation:
                lost.append(cancellation)
        await asyncio.sleep(60)

    monkeypatch.setattr(Client, "connect", goes_on)
    async with asyncio.timeout(20):
        with pytest.raises(Unavailable, match="cannot reach NATS at nats://a: TimeoutError"):
            await connect(NatsAccess("nats://a"), "test", timeout_s=0.01)
    assert len(lost) == 3


async def test_address_where_nobody_listens_is_unavailable_within_the_timeout() -> None:
    (port,) = free_ports(1)
    async with asyncio.timeout(10):  # nats-py would try for ever
        with pytest.raises(Unavailable, match="cannot reach NATS"):
            await connect(NatsAccess(f"nats://127.0.0.1:{port}"), "test", timeout_s=0.1)


def test_an_access_is_what_the_settings_say() -> None:
    settings = load_settings(
        {
            "nats_url": "tls://a:1, tls://b:2",
            "nats_user": "me",
            "nats_password": PASSWORD,
            "nats_credentials": "/c",
            "nats_ca": "/ca",
            "nats_cert": "/cert",
            "nats_key": "/key",
        },
        {},
    )
    access = NatsAccess.of_settings(settings)
    assert access == NatsAccess("tls://a:1, tls://b:2", "me", PASSWORD, "/c", "/ca", "/cert", "/key")
    assert access.servers == ["tls://a:1", "tls://b:2"]
    assert NatsAccess.of_settings(Settings(nats_url="nats://a")) == NatsAccess("nats://a")


@pytest.mark.parametrize(
    ("access", "asks"),
    [
        (NatsAccess("nats://a,nats://b"), False),
        (NatsAccess("nats://a,tls://b"), True),
        (NatsAccess("nats://a", ca_file="c"), True),
        (NatsAccess("nats://a", certificate_file="c", key_file="k"), True),
    ],
)
def test_tls_is_asked_for_by_a_url_or_by_a_file(access: NatsAccess, asks: object) -> None:
    assert access.asks_for_tls is asks


async def test_files_of_tls_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    pair, other = make_pair(tmp_path), make_pair(tmp_path, "other")
    none = tmp_path / "none.pem"
    (tmp_path / "text.pem").write_text("no certificate")
    cases = [
        ({"ca_file": str(none)}, "FLUX_NATS_CA"),
        ({"ca_file": str(tmp_path / "text.pem")}, "FLUX_NATS_CA"),
        ({"certificate_file": str(none), "key_file": str(pair.key)}, "FLUX_NATS_CERT"),
        ({"certificate_file": str(pair.certificate), "key_file": str(none)}, "FLUX_NATS_KEY"),
        ({"certificate_file": str(pair.certificate), "key_file": str(other.key)}, "FLUX_NATS_CERT and"),
    ]
    for files, told in cases:
        with pytest.raises(Refused, match=told):
            await connect(NatsAccess("tls://127.0.0.1:1", **files), "test")


async def test_a_nats_that_takes_too_small_messages_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    async def small(client: Client, *_: Any, **__: Any) -> None:
        client._max_payload = 1 << 20  # noqa: SLF001 - which only a server sets

    async def close(_: Client) -> None:
        closed.append(True)

    closed: list[bool] = []
    monkeypatch.setattr(Client, "connect", small)
    monkeypatch.setattr(Client, "close", close)
    with pytest.raises(Refused, match=r"takes messages of 1048576 bytes; set `max_payload: 16777216`"):
        await check_jetstream(NatsAccess("nats://a"))
    assert closed
