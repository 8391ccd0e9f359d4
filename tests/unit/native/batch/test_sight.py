"""Sight: what doors would not show is not read from the log either."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from flux_actors.domain.position import pack
from flux_actors.log.memory import MemoryKeyValue
from flux_actors.native.batch import sight
from flux_actors.native.batch.sight import Sight
from flux_actors.router.topology import LOG_KEY, REGISTRY_BUCKET, TENANCY_BUCKET, LogRegistry
from flux_actors.router.topology import encode as log_encode
from flux_actors.tenancy.following import encode, key_of
from flux_actors.tenancy.namespace import ALL_SCOPES, Visibility, register
from flux_actors.tenancy.principal import ADMIN, ANYONE, NOBODY, Principal
from flux_actors.tenancy.registry import Registry


@pytest.fixture
def registry():
    registry = Registry()
    for name, visibility in [("open", Visibility.PUBLIC), ("vault", Visibility.PRIVATE)]:
        registry.apply(register(name, visibility, 1)[0])
    return registry


def holder(registry, prefix="", expires_us=None):
    token_id = registry.namespace("vault").main
    return Principal.holder("vault", ALL_SCOPES, prefix, expires_us, token_id)


def shown(seen, *ids):
    return [seen.shows(entity_id, pack(5, 0)) for entity_id in ids]


@pytest.mark.parametrize("principal", [NOBODY, ADMIN, Principal.holder("open", ALL_SCOPES, "", None, "")])
def test_a_private_namespace_of_others_is_not_shown(registry, principal):
    seen = Sight(principal, registry, 0)
    assert not seen.is_all
    assert shown(seen, "open/x", "vault/x", "nobodys/x", "plain") == [True, False, True, True]


def test_its_holder_is_shown_it(registry):
    assert shown(Sight(holder(registry), registry, 0), "vault/x", "open/x") == [True, True]


def test_a_narrow_token_shows_its_own_ids_alone(registry):
    seen = Sight(holder(registry, "vault/a/"), registry, 0)
    assert shown(seen, "vault/a/1", "vault/b/1", "open/x") == [True, False, True]


def test_a_token_that_was_revoked_or_has_expired_shows_nothing_private(registry):
    expired, revoked = holder(registry, expires_us=1), holder(registry)._replace(token_id="gone")
    assert shown(Sight(expired, registry, 0), "vault/x") == [False]
    assert shown(Sight(revoked, registry, 0), "vault/x", "open/x") == [False, True]


def test_what_earlier_owners_of_a_name_left_is_not_shown(registry):
    registry.apply(registry.namespace("open").ending().ended({0: 4}))
    in_partition, elsewhere = Sight(NOBODY, registry, 0), Sight(NOBODY, registry, 1)
    assert [in_partition.shows("open/x", place) for place in (pack(4, 9), pack(5, 0))] == [False, True]
    assert elsewhere.shows("open/x", pack(1, 0))


def test_where_nobody_is_asked_or_nothing_is_hidden_all_is_shown(registry):
    assert Sight(ANYONE, Registry(), 0).is_all
    assert Sight(ANYONE, registry, 0).is_all
    assert Sight(NOBODY, Registry(), 0).is_all


async def test_tenants_are_read_from_their_store(monkeypatch):
    store = MemoryKeyValue()
    await store.put(key_of("vault"), encode(register("vault", Visibility.PRIVATE, 1)[0]))

    stores = {TENANCY_BUCKET: store, REGISTRY_BUCKET: MemoryKeyValue()}

    async def open_store(client, name):
        assert client == "client"
        return stores[name]

    monkeypatch.setattr(sight.JetStreamKeyValue, "open", open_store)
    assert (await sight.read_tenants("client", NOBODY)).hidden == {"vault"}
    assert (await sight.read_tenants("client", ANYONE)).hidden == set()
    assert (await sight.read_tenants(None, NOBODY)).hidden == set()


async def test_where_the_past_of_earlier_owners_ends_is_told_by_the_log_as_it_is(monkeypatch):
    tenants, log = MemoryKeyValue(), MemoryKeyValue()
    again = replace(register("again", Visibility.PUBLIC, 1)[0], past={0: 4})
    await tenants.put(key_of("again"), encode(again))
    copied = LogRegistry("next", 8, generation=2, pasts={"again": {5: (1 << 32) + 7}})
    await log.put(LOG_KEY, log_encode(copied))
    stores = {TENANCY_BUCKET: tenants, REGISTRY_BUCKET: log}

    async def open_store(client, name):
        return stores[name]

    monkeypatch.setattr(sight.JetStreamKeyValue, "open", open_store)
    registry = await sight.read_tenants("client", NOBODY)
    shows = Sight(NOBODY, registry, 5).shows
    assert [shows("again/x", pack((1 << 32) + number, 0)) for number in (7, 8)] == [False, True]
    assert Sight(NOBODY, registry, 0).shows("again/x", pack(1, 0))  # another partition by now
