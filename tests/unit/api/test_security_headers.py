"""What browsers are told: not to guess types, not to keep private state, and which scripts a page may run."""

from __future__ import annotations

import base64
import hashlib
import re

import httpx
import pytest

from flux_actors.settings import Settings
from flux_api.app import build_app
from flux_api.request_ids import RequestIds
from flux_api.security_headers import headers_of

TLS = {"tls_cert": "c", "tls_key": "k"}


def test_every_answer_says_not_to_guess_its_type():
    assert headers_of(Settings()) == [("x-content-type-options", "nosniff")]


def test_with_tokens_nobody_keeps_an_answer():
    assert ("cache-control", "no-store") in headers_of(Settings(auth_enabled=True))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"host": "10.0.0.7"} | TLS, True),
        ({"host": "box.example"} | TLS, True),
        ({"host": "127.0.0.1"} | TLS, False),  # else every server on localhost would have to speak TLS
        ({"host": "localhost"} | TLS, False),
        ({"host": "::1"} | TLS, False),
        ({"host": "10.0.0.7"}, False),
    ],
)
def test_with_tls_others_are_told_to_come_back_encrypted(settings, told):
    assert ("strict-transport-security" in dict(headers_of(Settings(**settings)))) == told


@pytest.mark.parametrize("path", ["/api/live", "/nothing", "/docs", "/openapi.json"])
async def test_an_answer_that_no_door_sends_has_them_from_the_app(client, path):
    assert (await client.get(path)).headers.get_list("x-content-type-options") == ["nosniff"]


async def test_at_the_door_the_app_leaves_them_to_the_listener(standing):
    app = RequestIds(build_app(standing.door.settings, standing.door))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://flux") as client:
        assert "x-content-type-options" not in (await client.get("/api/live")).headers
        assert "content-security-policy" in (await client.get("/docs")).headers


async def test_the_page_may_run_what_came_with_it_and_nothing_else(client):
    page = await client.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in policy["script-src"]
    inline = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    assert inline
    for script in inline:
        digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        assert f"'sha256-{digest}'" in policy["script-src"].split()
    for attributes in re.findall(r"<script([^>]+)>", page.text):
        assert re.search(r'src="/', attributes), attributes
    assert not re.findall(r"\son\w+=", page.text)  # handlers in attributes would need 'unsafe-inline'
    assert policy["connect-src"] == "'self'"  # the document, and the requests that one tries out
    assert page.headers["referrer-policy"] == "no-referrer"


async def test_a_page_that_asks_for_nothing_but_its_head_is_answered(client):
    assert (await client.head("/docs")).status_code in {200, 405}


async def test_an_answer_that_is_no_page_has_no_policy(client):
    assert "content-security-policy" not in (await client.get("/api/live")).headers
