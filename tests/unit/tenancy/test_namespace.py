"""Namespaces: which names they may have, and how their tokens come and go."""

from __future__ import annotations

import msgspec
import pytest

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.tenancy.namespace import (
    ALL_SCOPES,
    Namespace,
    Phase,
    Scope,
    TokenRecord,
    Visibility,
    check_name,
    check_visibility,
    register,
)
from flux_actors.tenancy.token import Token, new_token


@pytest.fixture
def namespace():
    return register("acme", Visibility.PUBLIC, 5)[0]


@pytest.mark.parametrize("name", ["abc", "a-b_c", "0-9", "x" * 32, "___"])
def test_a_good_name_is_taken_as_it_is(name):
    assert check_name(name) == name


@pytest.mark.parametrize("name", [None, 5, "", "ab", "x" * 33, "Abc", "a b", "a/b", "abc\n", "äbc", "a.b"])
def test_another_is_refused(name):
    with pytest.raises(Refused, match="3 to 32") as caught:
        check_name(name)
    assert caught.value.status == 400


@pytest.mark.parametrize("name", ["flux-core", "flux-core2"])
def test_the_servers_own_names_are_forbidden(name):
    with pytest.raises(Refused, match="flux-core") as caught:
        check_name(name)
    assert caught.value.status == 403


def test_visibility_is_public_unless_it_is_said_to_be_private():
    assert check_visibility(None) is check_visibility("public") is Visibility.PUBLIC
    assert check_visibility("private") is Visibility.PRIVATE
    for other in ("secret", 5, "", True, ["private"]):
        with pytest.raises(Refused, match="visibility"):
            check_visibility(other)


def test_a_new_one_has_a_main_token_with_all_scopes_and_no_secret_in_it():
    namespace, token = register("acme", Visibility.PUBLIC, 5)
    record = namespace.tokens[namespace.main]
    assert namespace.id.startswith("ns_")
    assert (record.id, record.scopes, record.prefix, record.expires_us) == (token.id, ALL_SCOPES, "", None)
    assert token.secret.encode() not in msgspec.json.encode(namespace)
    assert not namespace.hidden


def test_it_is_stored_and_read_back_as_it_is(namespace):
    record = TokenRecord("id", "digest", frozenset({Scope.READ}), 1, "acme/x", 9)
    whole = namespace.with_token(new_token(), record).ending()
    for one in (namespace, namespace.with_token(new_token(), record), whole):
        assert msgspec.json.decode(msgspec.json.encode(one), type=Namespace) == one


def test_rotating_replaces_the_main_token_alone(namespace):
    other = new_token()
    with_other = namespace.with_token(other, TokenRecord(other.id, "d", frozenset({Scope.READ}), 1))
    token = new_token()
    rotated = with_other.rotated(token, 7)
    assert set(rotated.tokens) == {other.id, token.id}
    assert rotated.main == token.id != namespace.main
    again = with_other.without_token(namespace.main).rotated(token, 8)
    assert other.id in again.tokens  # a main token that was revoked is replaced as well


def test_a_token_that_is_none_cannot_be_revoked(namespace):
    with pytest.raises(Refused, match="no token") as caught:
        namespace.without_token("never")
    assert caught.value.status == 404
    assert namespace.without_token(namespace.main).tokens == {}


def test_there_is_a_bound_on_tokens(namespace, monkeypatch):
    monkeypatch.setattr(limits, "tokens_max", 2)
    record = TokenRecord("id", "d", frozenset({Scope.READ}), 1)
    full = namespace.with_token(new_token(), record)
    with pytest.raises(Refused, match="revoke some") as caught:
        full.with_token(new_token(), record)
    assert caught.value.status == 409


def test_one_that_ends_has_no_tokens(namespace):
    assert namespace.ending().phase is Phase.DELETING
    assert namespace.ended({1: 7}).past == {1: 7}
    assert namespace.ending().tokens == namespace.ended({}).tokens == {}


def test_tokens_that_have_expired_make_room(namespace, monkeypatch):
    monkeypatch.setattr(limits, "tokens_max", 2)
    old = TokenRecord("old", "d", frozenset({Scope.READ}), 1, "", 5)
    new = TokenRecord("new", "d", frozenset({Scope.READ}), 5)
    full = namespace.with_token(Token("old", "s"), old)
    assert set(full.with_token(Token("new", "s"), new).tokens) == {namespace.main, "new"}
