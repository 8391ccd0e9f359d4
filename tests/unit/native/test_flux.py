"""A user of Flux: what it publishes it reads, and what it is not allowed, it is told."""

from __future__ import annotations

import pickle

import pytest

from flux_actors.errors import Refused
from flux_actors.native import core as core_module
from flux_actors.native import flux as flux_module
from flux_actors.native.flux import Flux, connect, live
from flux_actors.native.ticket import Ticket
from tests.unit.native.twin import holder, introduction


def test_what_was_published_is_read_at_once(fx):
    for number in range(50):
        receipt = fx.publish("home/lamp", {"n": number})
        assert fx.entity("home/lamp").state() == {"n": number}
    assert receipt.position == fx.position
    assert receipt.event_id


def test_properties_that_are_not_named_stay(fx):
    fx.publish("home/lamp", {"on": True})
    fx.publish("home/lamp", {"level": 3})
    assert fx.entity("home/lamp").state() == {"on": True, "level": 3}


def test_the_same_event_id_counts_once(fx):
    fx.publish("home/lamp", {"n": 1}, event_id="mine")
    fx.publish("home/lamp", {"n": 2}, event_id="mine")
    assert fx.entity("home/lamp").state() == {"n": 1}


def test_what_was_deleted_is_gone(fx):
    fx.publish("home/lamp", {"n": 1})
    fx.delete("home/lamp")
    assert fx.entity("home/lamp").state() is None


def test_many_states_at_once_each_once(fx):
    fx.publish_many([(f"wide/{n}", {"n": n}) for n in range(1_200)])
    ids = [f"wide/{n}" for n in range(1_200)]
    states = fx.states([*ids, "wide/none", *ids])
    assert states == {f"wide/{n}": {"n": n} for n in range(1_200)} | {"wide/none": None}


def test_a_condition_that_is_not_met_is_412_and_says_what_stands_there(fx):
    first = fx.publish("home/lamp", {"n": 1}, if_absent=True)
    with pytest.raises(Refused, match="already") as refused:
        fx.publish("home/lamp", {"n": 2}, if_absent=True)
    assert refused.value.status == 412
    assert refused.value.more["entity"]["properties"] == {"n": 1}
    second = fx.publish("home/lamp", {"n": 3}, if_match=first.position)
    with pytest.raises(Refused, match="changed since"):
        fx.publish("home/lamp", {"n": 4}, if_match=first.position)
    fx.publish("home/lamp", {"n": 5}, if_match=second.position)
    fx.publish("home/lamp", {"n": 6}, if_present=True)
    with pytest.raises(Refused, match="there is none"):
        fx.publish("home/none", {"n": 1}, if_present=True)
    assert fx.entity("home/lamp").state() == {"n": 6}


@pytest.mark.parametrize(
    ("entity_id", "properties", "options", "status"),
    [
        ("", {}, {}, 400),
        (7, {}, {}, 400),
        ("flux-core/x", {}, {}, 403),
        ("home/x", None, {}, 400),
        ("home/x", {"n": float("nan")}, {}, 400),
        ("home/x", {"n": {1, 2}}, {}, 400),
        ("home/x", {"n": 1}, {"event_id": ""}, 400),
        ("home/x", {"n": 1}, {"ttl_s": -1}, 400),
        ("home/x", {"n": 1}, {"if_match": "what"}, 400),
        ("home/x", {"n": 1}, {"if_absent": True, "if_present": True}, 400),
        ("home/x", {"n": 1 << 64}, {}, 400),
        ("home/x", {"n": "\ud800"}, {}, 400),
        ("home/x", {"n": "x" * (17 << 20)}, {}, 413),
    ],
)
def test_what_is_no_event_is_refused_and_not_published(fx, entity_id, properties, options, status):
    with pytest.raises(Refused) as refused:
        fx.publish(entity_id, properties, **options)
    assert refused.value.status == status
    assert fx.position == ""


def test_who_has_narrowed_himself_writes_his_namespace_alone(twin):
    fx = twin.flux(Ticket(namespace="home"))
    fx.publish("home/lamp", {"n": 1})
    for forbidden in (
        lambda: fx.publish("homes/lamp", {"n": 1}),
        lambda: fx.delete("work/lamp"),
        lambda: fx.publish_many([("home/a", {}), ("work/a", {})]),
        lambda: fx.entity("work/lamp").tell("hello"),
        lambda: fx.entity("work/lamp").ask("hello"),
        lambda: fx.entity("work/lamp").claim().__enter__(),
    ):
        with pytest.raises(Refused) as refused:
            forbidden()
        assert refused.value.status == 403
    assert fx.entity("work/lamp").state() is None
    assert list(fx.states(["home/a", "work/a"]).values()) == [None, None]


def test_what_is_private_is_not_there_for_others(twin):
    fx = twin.flux()
    fx.publish("vault/x", {"n": 1})
    fx.publish("vaults/x", {"n": 2})
    twin.introduction = introduction(holder("home"), 10.0, "vault")
    other = twin.flux(Ticket("token"))
    assert other.entity("vault/x").state() is None
    assert other.states(["vault/x", "vaults/x"]) == {"vault/x": None, "vaults/x": {"n": 2}}
    with pytest.raises(Refused) as refused:
        other.entity("vault/x").watch()
    assert refused.value.status == 404
    with pytest.raises(Refused):
        other.live("vault/")
    assert dict(other.live("vault")) == {"vaults/x": {"n": 2}}
    twin.introduction = introduction(holder("vault"), 10.0, "vault")
    own = twin.flux(Ticket("of vault"))
    assert own.entity("vault/x").state() == {"n": 1}
    assert dict(own.live("vault/")) == {"vault/x": {"n": 1}}


def test_it_can_be_sent_elsewhere_with_its_token_and_its_place(twin, fx, monkeypatch):
    monkeypatch.setattr(core_module, "here", lambda: twin)
    secret = twin.flux(Ticket("flux_id_secret", source="me"))
    secret.publish("home/lamp", {"n": 1})
    sent = pickle.loads(pickle.dumps(secret))  # noqa: S301 - our own
    assert isinstance(sent, Flux)
    assert sent.position == secret.position
    assert sent.entity("home/lamp").state() == {"n": 1}
    handle = pickle.loads(pickle.dumps(secret.entity("home/lamp")))  # noqa: S301 - our own
    assert handle.state() == {"n": 1}
    for text in (repr(secret), str(secret.aio), repr(handle), repr(secret._core.ticket)):  # noqa: SLF001
        assert "secret" not in text.replace("source", "")


def test_what_others_wrote_is_read_by_their_position(fx, twin):
    other = twin.flux()
    other.publish("home/lamp", {"n": 1})
    fx.include(other.position)
    assert fx.position == other.position
    with pytest.raises(Refused):
        fx.include("nonsense")


def test_who_has_closed_does_nothing_more(fx):
    with fx:
        lamps = fx.live("home/")
        watch = fx.entity("home/lamp").watch()
        assert next(watch).properties is None
    with pytest.raises(Refused, match="closed"):
        fx.publish("home/lamp", {"n": 1})
    assert list(watch) == []
    assert dict(lamps) == {}


def test_connect_and_live_begin_in_this_process(twin, monkeypatch):
    entered = []
    monkeypatch.setattr(twin, "enter", lambda: entered.append("cluster"), raising=False)
    monkeypatch.setattr(flux_module, "here", lambda: twin)
    fx = connect(token="flux_a_b", source="me")
    assert entered == ["cluster"]
    assert list(twin.links) == [Ticket("flux_a_b", None, "me")]
    fx.publish("home/lamp", {"n": 1})
    with live("home/") as lamps:
        assert lamps["home/lamp"] == {"n": 1}
