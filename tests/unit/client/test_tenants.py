"""Tenants: what is asked of the server, with which token, and what its answers become."""

from __future__ import annotations

import pytest

from flux_actors.client.http import FluxClient
from flux_actors.client.tenants import NamespaceFacts, NewNamespace, NewToken, Tenants
from flux_actors.errors import Refused

MADE = b'{"namespaceId":"ns_1","name":"acme","token":"flux_a_b"}'
FACTS = b'{"namespaceId":"ns_1","name":"acme","createdAt":"T","entityCount":3}'
TOKEN = b'{"id":"a","token":"flux_a_b"}'


@pytest.fixture
def tenants(flux):
    with FluxClient(flux.url, token="own", admin_token="boss") as client:
        yield Tenants(client)


def asked(flux):
    """Return the last request: method, path and body, sent with the admin token."""
    assert flux.last.headers["authorization"] == "Bearer boss"
    return flux.last.method, flux.last.target, flux.last.json if flux.last.body else None


@pytest.mark.parametrize(
    ("act", "answer", "expected", "request_"),
    [
        (
            lambda t: t.register("acme"),
            MADE,
            NewNamespace("ns_1", "acme", "flux_a_b"),
            ("POST", "/api/namespaces", {"name": "acme"}),
        ),
        (
            lambda t: t.register("acme", private=True),
            MADE,
            NewNamespace("ns_1", "acme", "flux_a_b"),
            ("POST", "/api/namespaces", {"name": "acme", "visibility": "private"}),
        ),
        (
            lambda t: t.all(),
            b'{"namespaces":[' + FACTS + b"]}",
            [NamespaceFacts("ns_1", "acme", "T", 3)],
            ("GET", "/api/namespaces", None),
        ),
        (
            lambda t: t.get("a/b"),
            FACTS,
            NamespaceFacts("ns_1", "acme", "T", 3),
            ("GET", "/api/namespaces/a%2Fb", None),
        ),
        (lambda t: t.delete("acme"), b"", None, ("DELETE", "/api/namespaces/acme", None)),
        (
            lambda t: t.make_token("acme", ["read"]),
            TOKEN,
            NewToken("a", "flux_a_b"),
            ("POST", "/api/namespaces/acme/tokens", {"scopes": ["read"]}),
        ),
        (
            lambda t: t.make_token("acme", ["read", "write"], "acme/k/", "T"),
            TOKEN,
            NewToken("a", "flux_a_b"),
            (
                "POST",
                "/api/namespaces/acme/tokens",
                {"scopes": ["read", "write"], "prefix": "acme/k/", "expiresAt": "T"},
            ),
        ),
        (
            lambda t: t.rotate("acme"),
            TOKEN,
            NewToken("a", "flux_a_b"),
            ("POST", "/api/namespaces/acme/tokens", {"rotate": True}),
        ),
        (
            lambda t: t.revoke("acme", "a/b"),
            b"",
            None,
            ("DELETE", "/api/namespaces/acme/tokens/a%2Fb", None),
        ),
    ],
)
def test_it_asks_as_the_contract_says(flux, tenants, act, answer, expected, request_):
    flux.answer_with(200 if answer else 204, answer)
    assert act(tenants) == expected
    assert asked(flux) == request_


def test_a_refusal_is_the_servers_sentence(flux, tenants):
    flux.answer_with(409, b'{"error":"the name acme is taken; choose another"}')
    with pytest.raises(Refused, match="is taken"):
        tenants.register("acme")


def test_without_an_admin_token_the_namespaces_own_is_sent(flux):
    flux.answer_with(200, TOKEN)
    with FluxClient(flux.url, token="own") as client:
        Tenants(client).rotate("acme")
    assert flux.last.headers["authorization"] == "Bearer own"
