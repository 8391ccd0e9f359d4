from __future__ import annotations

from typing import Any

import pytest

from flux_actors.behaviour.acting_entity import ActingEntity, NoAsker, Scene
from flux_actors.domain.acting.catalogue import Bounds
from flux_actors.domain.acting.messages import Message, MessageKind
from flux_actors.domain.event import Event, terms_in
from flux_actors.domain.position import pack
from flux_actors.errors import Refused
from tests.unit.behaviour.working import events

SCENE = Scene(3, 0, "flux-behaviour.Test", Bounds(), NoAsker(), 1)


def entity_of(state: dict[str, Any] | None = None) -> ActingEntity:
    return ActingEntity(SCENE, Message(pack(7, 2), "home/hall", MessageKind.CHANGE, 5_000, state))


def only(entity: ActingEntity) -> Event:
    (event,) = events(entity.finish())
    return event


def test_entity_says_what_it_is() -> None:
    entity = entity_of({"on": True})
    assert (entity.id, entity.position, entity.exists, dict(entity.state)) == (
        "home/hall",
        "3.7.2",
        True,
        {"on": True},
    )
    assert repr(entity) == "<entity home/hall at 3.7.2>"


def test_absent_entity_has_no_state() -> None:
    entity = entity_of(None)
    assert (entity.exists, dict(entity.state)) == (False, {})


def test_state_cannot_be_written() -> None:
    with pytest.raises(TypeError):
        entity_of({}).state["on"] = True  # type: ignore[index]


def test_set_is_an_event_of_the_entity_itself() -> None:
    entity = entity_of()
    entity.set({"with space": 1}, on=True)
    event = only(entity)
    assert (event.entity_id, event.properties) == ("home/hall", {"with space": 1, "on": True})


def test_none_takes_a_property_away() -> None:
    entity = entity_of()
    entity.emit("home/fan", {"on": None})
    assert only(entity).properties == {"on": None}


def test_tell_is_an_event_that_carries_the_message() -> None:
    entity = entity_of()
    entity.tell("home/fan", {"to": ("a", "b")})
    event = only(entity)
    terms = terms_in(event)
    assert terms is not None
    assert (event.entity_id, event.properties, terms.told) == ("home/fan", {}, {"to": ["a", "b"]})


@pytest.mark.parametrize(
    ("after_s", "after_ms"), [(0, 1), (0.0001, 1), (1, 1_000), (0.0015, 2), (86_400, 86_400_000)]
)
def test_reminder_comes_not_before_its_time(after_s: float, after_ms: int) -> None:
    entity = entity_of()
    entity.remind("check", after_s)
    terms = terms_in(only(entity))
    assert terms is not None
    assert terms.remind == {"check": after_ms}


def test_forgotten_reminder_has_no_time() -> None:
    entity = entity_of()
    entity.forget("check")
    assert terms_in(only(entity)).remind == {"check": 0}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("verb", "arguments", "text"),
    [
        ("emit", ["", {}], "1 to 512 bytes"),
        ("emit", [7, {}], "must be a string"),
        ("emit", ["home/\n", {}], "control characters"),
        ("emit", ["flux-core/x", {}], "belong to the server"),
        ("emit", ["home/fan", None], "properties must be a dict"),
        ("emit", ["home/fan", ["on"]], "properties must be a dict"),
        ("emit", ["home/fan", {"at": object()}], r"properties\.at is of type object"),
        ("emit", ["home/fan", {"n": 1 << 64}], "emit: the properties cannot be kept"),
        ("emit", ["home/fan", {"n": "\ud800"}], "emit: the properties cannot be kept"),
        ("emit", ["home/fan", {"n": "x" * (1 << 20)}], "an event may have 1048576"),
        ("set", [7], "properties must be a dict"),
        ("remind", ["", 1], "text of 1 to 256"),
        ("remind", ["x" * 257, 1], "text of 1 to 256"),
        ("remind", ["x", -1], "after_s must be"),
        ("remind", ["x", True], "after_s must be"),
        ("remind", ["x", float("nan")], "after_s must be"),
        ("remind", ["x", 1e12], "after_s must be"),
        ("forget", [None], "text of 1 to 256"),
        ("tell", ["home/fan", None], "None is no message"),
        ("tell", ["home/fan", {1}], "message is of type set"),
        ("tell", ["flux-core/x", 1], "belong to the server"),
        ("tell", ["home/fan", "x" * (1 << 20)], "message has"),
        ("ask", ["home/fan", 1], "only an async handler"),
    ],
)
def test_what_cannot_be_done_is_refused_and_leaves_no_effect(
    verb: str, arguments: list[Any], text: str
) -> None:
    entity = entity_of()
    with pytest.raises(Refused, match=text):
        getattr(entity, verb)(*arguments)
    assert entity.finish() == []
    assert entity.fault is None


def test_properties_changed_later_are_sent_as_they_were() -> None:
    entity, properties = entity_of(), {"on": True}
    entity.emit("home/fan", properties)
    properties["on"] = False
    assert only(entity).properties == {"on": True}


def test_entity_of_a_handler_that_is_over_can_do_nothing() -> None:
    entity = entity_of()
    entity.finish()
    with pytest.raises(Refused, match="set: the handler that this entity was given to is over"):
        entity.set(on=True)
