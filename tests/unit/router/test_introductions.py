"""Introductions: who shows a token is told the way to the log, and nobody else where tokens are on."""

from __future__ import annotations

import pickle

import pytest

from flux_actors import limits
from flux_actors.domain.partitioning import Partitioning
from flux_actors.errors import Refused, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.router.introductions import Introducer
from flux_actors.router.topology import LogRegistry
from flux_actors.tenancy.following import Follower, encode, key_of
from flux_actors.tenancy.namespace import Scope, TokenRecord, Visibility, register
from flux_actors.tenancy.principal import ANYONE
from flux_actors.tenancy.registry import Registry
from flux_actors.tenancy.token import digest_of, new_token

RULE = Partitioning(4, frozenset({"wide"}))
REGISTRY = LogRegistry("log", 4, ["wide"], generation=2)
ACCESS = NatsAccess("nats://log", "me", "secret")


@pytest.fixture
def store():
    return MemoryKeyValue()


@pytest.fixture
def introducer(store):
    registry = Registry()
    return Introducer(ACCESS, REGISTRY, 3, registry, Follower(store, registry, lambda: None), lambda: 1_000)


async def settled(store, name="vault", visibility=Visibility.PRIVATE):
    namespace, token = register(name, visibility, 1)
    await store.put(key_of(name), encode(namespace))
    return namespace, token


async def test_where_tokens_are_off_everybody_is_anyone_for_ever():
    introducer = Introducer(ACCESS, REGISTRY, 1, Registry(), None)
    for token in (None, "flux_what_ever"):
        found = await introducer.introduce(token)
        assert (found.principal, found.good_for_s, found.hidden) == (ANYONE, None, frozenset())
        assert (found.partitioning, found.generation) == (RULE, 2)
        assert found.access == ACCESS


async def test_the_holder_of_a_token_is_told_what_it_is_good_for(store, introducer):
    _, token = await settled(store)
    await settled(store, "other", Visibility.PUBLIC)
    found = await introducer.introduce(token.text)
    assert (found.principal.namespace, found.principal.writable) == ("vault", "vault/")
    assert (found.good_for_s, found.log_replicas) == (limits.introduction_s, 3)
    assert found.hidden == {"vault"}
    assert pickle.loads(pickle.dumps(found)) == found  # noqa: S301 - our own
    assert "secret" not in repr(found)


@pytest.mark.parametrize("token", [None, "", "the-admin's", "flux_a_b", "Bearer x"])
async def test_who_shows_no_token_of_a_namespace_is_told_nothing(store, introducer, token):
    await settled(store)
    with pytest.raises(Refused) as refused:
        await introducer.introduce(token)
    assert refused.value.status == 401
    assert token is None or not token or token not in refused.value.message


async def test_a_token_that_was_revoked_or_has_expired_is_none(store, introducer):
    namespace, token = await settled(store)
    await introducer.introduce(token.text)
    late = new_token()
    record = TokenRecord(late.id, digest_of(late, namespace.id), frozenset({Scope.READ}), 1, "", 1_000)
    changed = namespace.with_token(late, record).without_token(token.id)
    await store.put(key_of("vault"), encode(changed))
    for text in (token.text, late.text):
        with pytest.raises(Refused, match="revoked or expired"):
            await introducer.introduce(text)


async def test_while_the_namespaces_cannot_be_read_nobody_is_introduced(store, introducer):
    _, token = await settled(store)
    await introducer.introduce(token.text)
    store.away = True
    with pytest.raises(Unavailable):
        await introducer.introduce(token.text)
