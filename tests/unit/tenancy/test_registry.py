"""The registry: whose token it is, and which names are hidden, after every change."""

from __future__ import annotations

import pytest

from flux_actors.tenancy.namespace import Scope, TokenRecord, Visibility, register
from flux_actors.tenancy.principal import UNKNOWN, Principal
from flux_actors.tenancy.registry import Registry
from flux_actors.tenancy.token import Token, digest_of, new_token


@pytest.fixture
def registry():
    return Registry()


def test_a_token_is_its_holders(registry):
    namespace, main = register("acme", Visibility.PUBLIC, 5)
    token = new_token()
    record = TokenRecord(token.id, digest_of(token, namespace.id), frozenset({Scope.READ}), 1, "acme/x", 9)
    registry.apply(namespace.with_token(token, record))
    assert registry.holder(main.text).namespace == "acme"
    assert registry.holder(token.text) == Principal.holder(
        "acme", frozenset({Scope.READ}), "acme/x", 9, token.id
    )


def test_one_that_is_none_is_unknown(registry):
    namespace, main = register("acme", Visibility.PUBLIC, 5)
    registry.apply(namespace)
    other = new_token()
    for text in (other.text, Token(main.id, other.secret).text, Token(other.id, main.secret).text, "", "x"):
        assert registry.holder(text) is UNKNOWN


def test_a_change_takes_the_place_of_what_was(registry):
    namespace, main = register("acme", Visibility.PUBLIC, 5)
    registry.apply(namespace)
    assert registry.has_token(main.id)
    newer = new_token()
    rotated = namespace.rotated(newer, 6)
    registry.apply(rotated)
    assert not registry.has_token(main.id)
    assert registry.holder(main.text) is UNKNOWN
    assert registry.holder(newer.text).namespace == "acme"
    registry.apply(rotated.ended({}))
    assert registry.holder(newer.text) is UNKNOWN
    assert len(registry) == 1


def test_hidden_are_the_private_until_nothing_of_them_is_left(registry):
    hidden = registry.hidden  # whoever holds it sees every change
    public, private = register("acme", Visibility.PUBLIC, 5)[0], register("vault", Visibility.PRIVATE, 5)[0]
    registry.apply(public)
    registry.apply(private)
    assert hidden == {"vault"}
    registry.apply(public.ending())
    registry.apply(private.ending())
    assert hidden == {"vault"}
    registry.apply(private.ended({0: 7}))
    assert hidden == set()
    assert [namespace.name for namespace in registry.all()] == ["acme", "vault"]


def test_a_name_that_is_sealed_is_hidden_and_has_no_token(registry):
    namespace, main = register("acme", Visibility.PUBLIC, 5)
    registry.apply(namespace)
    registry.seal("acme")
    registry.seal("never")
    assert registry.hidden == {"acme", "never"}
    assert registry.holder(main.text) is UNKNOWN
    registry.apply(namespace)
    assert registry.hidden == {"never"}
    assert registry.has_token(main.id)
