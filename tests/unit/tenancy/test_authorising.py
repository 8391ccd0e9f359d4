"""Permission: texts that show the right form; the table of routes is tests/unit/api/test_permissions.py."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.acting.faults import fault_id
from flux_actors.domain.event import server_event
from flux_actors.errors import Refused
from flux_actors.tenancy.authorising import Action, authorise, may_read, refusal, sift
from flux_actors.tenancy.namespace import Scope, Visibility, register
from flux_actors.tenancy.principal import ADMIN, ANYONE, NOBODY, UNKNOWN, Kind, Principal
from flux_actors.tenancy.registry import Registry

NOW_US = 1_000
IDS = ["acme/x", "acme/kitchen/x", "vault/x", "vault/kitchen/x", "acmeX/x", "acme", "lonely", "flux-core/x"]


@pytest.fixture(scope="module")
def registry():
    registry = Registry()
    registry.apply(register("acme", Visibility.PUBLIC, 5)[0])
    registry.apply(register("vault", Visibility.PRIVATE, 5)[0])
    registry.apply(register("gone", Visibility.PRIVATE, 5)[0].ending())
    return registry


def holders():
    """Return holders as they can be: a prefix is one of ids of the token's own namespace."""
    scopes = st.frozensets(st.sampled_from(Scope))
    ends = st.sampled_from([None, NOW_US, NOW_US + 1])

    def of(namespace):
        prefixes = st.sampled_from(["", f"{namespace}/", f"{namespace}/kitchen/"])
        return st.builds(Principal.holder, st.just(namespace), scopes, prefixes, ends, st.just("id"))

    return st.sampled_from(["acme", "vault"]).flatmap(of)


principals = st.sampled_from([NOBODY, UNKNOWN, ADMIN, ANYONE]) | holders()


@given(principals, st.lists(st.sampled_from(IDS) | st.none(), max_size=8))
def test_a_batch_is_judged_event_by_event(registry, principal, ids):
    events = [server_event(entity_id, {"v": 1}, "e", 1, "s", "a") for entity_id in ids]
    refused = [
        refusal(principal, Action.WRITE, (i or "").rpartition("/")[0].split("/")[0], i, registry, NOW_US)
        for i in ids
    ]
    sifted = sift(principal, list(events), registry, NOW_US)
    for event, reason, found in zip(events, refused, sifted, strict=True):
        if reason is None:
            assert found is event
        else:
            assert isinstance(found, Refused)
            assert (found.status, found.message) == (reason.status, reason.message)


@given(principals)
def test_what_was_refused_before_stays_what_it_is(registry, principal):
    refused = Refused("first")
    assert sift(principal, [refused], registry, NOW_US) == [refused]


@given(holders(), st.sampled_from(IDS))
def test_whoever_may_write_an_entity_may_read_it(registry, principal, entity_id):
    namespace = entity_id.partition("/")[0] if "/" in entity_id else ""
    if refusal(principal, Action.WRITE, namespace, entity_id, registry, NOW_US) is None:
        assert may_read(principal, entity_id, registry, NOW_US)


@given(principals, st.sampled_from(IDS[:-1]))
def test_whoever_may_read_an_entity_may_read_its_faults_and_nobody_else(registry, principal, entity_id):
    shown = may_read(principal, entity_id, registry, NOW_US)
    assert may_read(principal, fault_id(entity_id), registry, NOW_US) == shown
    namespace = "flux-core"  # where it lives
    refused = refusal(principal, Action.READ, namespace, fault_id(entity_id), registry, NOW_US)
    assert (refused is None) == shown


@given(principals, st.sampled_from(IDS))
def test_nobody_writes_a_fault(registry, principal, entity_id):
    refused = refusal(principal, Action.WRITE, "flux-core", fault_id(entity_id), registry, NOW_US)
    assert (refused is None) == (principal is ANYONE)


@given(principals)
def test_what_is_private_and_ends_is_there_for_nobody(registry, principal):
    assert may_read(principal, "gone/x", registry, NOW_US) == (principal is ANYONE)


@pytest.mark.parametrize(
    ("principal", "namespace", "entity_id", "words"),
    [
        (NOBODY, "acme", "acme/x", ["401", "'acme'", "Authorization: Bearer <token>"]),
        (UNKNOWN, "acme", "acme/x", ["401", "unknown, revoked or expired", "'acme'"]),
        (NOBODY, "", "lonely", ["401", "namespace/name", "home/lamp"]),
        (ADMIN, "acme", "acme/x", ["403", "admin token", "'acme'"]),
        (Principal(Kind.HOLDER, "vault"), "acme", "acme/x", ["403", "'vault'", "'acme'"]),
        (Principal(Kind.HOLDER, "acme"), "acme", "acme/x", ["403", '"write"']),
        (
            Principal(Kind.HOLDER, "acme", frozenset(Scope), "acme/k/"),
            "acme",
            "acme/x",
            ["403", "'acme/k/'"],
        ),
    ],
)
def test_a_refusal_says_what_to_do(registry, principal, namespace, entity_id, words):
    with pytest.raises(Refused) as caught:
        authorise(principal, Action.WRITE, namespace, entity_id, registry, NOW_US)
    said = f"{caught.value.status} {caught.value.message}"
    assert [word for word in words if word not in said] == []
