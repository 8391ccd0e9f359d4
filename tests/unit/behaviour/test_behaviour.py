from __future__ import annotations

from typing import Any

import pytest

from flux_actors.behaviour.behaviour import Behaviour, checked_patterns, described
from flux_actors.domain.acting.catalogue import Bounds, Dedicated, Supervision
from flux_actors.errors import Refused


class Thermostat(Behaviour):
    match = ("home/*/thermostat", "home/thermostat")
    placement = Dedicated(num_cpus=2)
    supervision = Supervision("stop")
    bounds = Bounds(handler_s=1.0)

    def reduce(self, state: dict[str, Any], event: Any) -> dict[str, Any]:
        return state

    async def on_change(self, entity: Any, change: Any) -> None: ...

    async def on_ask(self, entity: Any, message: Any) -> None: ...


def test_class_is_described_by_what_it_defines() -> None:
    assert described(Thermostat) == (
        "Thermostat",
        ["home/*/thermostat", "home/thermostat"],
        ["reduce", "on_change", "on_ask", "on_tell"],
        ["on_change", "on_ask", "on_tell"],
        Dedicated(num_cpus=2),
        Supervision("stop"),
        Bounds(handler_s=1.0),
    )


def test_class_is_hosted_and_restarted_unless_it_says_otherwise() -> None:
    class Plain(Behaviour):
        match = "home/*"

        def on_change(self, entity: Any, change: Any) -> None: ...

    found = described(Plain)
    assert (found.match, found.handles, found.awaits) == (["home/*"], ["on_change"], [])
    assert (found.dedicated, found.supervision, found.bounds) == (None, Supervision(), Bounds())


def test_handlers_of_a_base_class_count() -> None:
    class Cooler(Thermostat):
        def on_tell(self, entity: Any, message: Any) -> None: ...

    found = described(Cooler)
    assert found.handles == ["reduce", "on_change", "on_ask", "on_tell"]
    assert found.awaits == ["on_change", "on_ask"]


@pytest.mark.parametrize("cls", [Behaviour, object, "Thermostat", None, Thermostat()])
def test_what_is_no_class_of_ones_own_is_refused(cls: Any) -> None:
    with pytest.raises(Refused, match="derived from"):
        described(cls)


def with_(**attributes: Any) -> type[Behaviour]:
    """Return a good class with other attributes."""
    return type(
        "Odd", (Behaviour,), {"match": "home/*", "on_change": lambda self, entity, change: None} | attributes
    )


async def coroutine(self: Any, state: Any, event: Any) -> None: ...


def generator(self: Any, entity: Any, change: Any) -> Any:
    yield


@pytest.mark.parametrize(
    ("attributes", "text"),
    [
        ({"match": ()}, 'add match = "namespace/'),
        ({"match": 7}, "does not say which entities"),
        ({"match": ["home/*", 7]}, "is no pattern"),
        ({"match": "thermostat"}, 'must be "namespace/name"'),
        ({"match": "home/"}, 'must be "namespace/name"'),
        ({"match": "/x"}, 'must be "namespace/name"'),
        ({"match": "*/x"}, "namespace must be spelled out"),
        ({"match": "home/**"}, "one `\\*` is enough"),
        ({"match": "flux-core/x"}, "belong to the server"),
        ({"match": "home/\n"}, "control characters"),
        ({"match": "home/" + "x" * 600}, "512 bytes"),
        ({"match": [f"home/{number}" for number in range(101)]}, "more than 100 patterns"),
        ({"on_change": None}, "on_change must be a method"),
        ({"on_change": lambda self, entity: None}, r"must take \(self, entity, change\)"),
        ({"on_ask": lambda self, entity, message, more: None}, r"must take \(self, entity, message\)"),
        ({"on_change": generator}, "must not `yield`"),
        ({"reduce": coroutine}, "must not be async"),
        ({"__init__": lambda self, model: None}, "must take no arguments"),
        ({"placement": "dedicated"}, "must be None or Dedicated"),
        ({"placement": Dedicated(num_cpus=-1)}, "must not be negative"),
        ({"placement": Dedicated(num_cpus="all")}, "Expected `float`"),  # type: ignore[arg-type]
        ({"supervision": "stop"}, "must be Supervision"),
        ({"supervision": Supervision("panic")}, "Invalid enum value 'panic'"),  # type: ignore[arg-type]
        ({"supervision": Supervision(retries=-1)}, "retries >= 0"),
        ({"supervision": Supervision(backoff_s=20)}, "backoff_s <= backoff_s_max"),
        ({"bounds": 3}, "must be Bounds"),
        ({"bounds": Bounds(handler_s=0)}, "handler_s must be above 0"),
        ({"bounds": Bounds(effects_max=1.5)}, "Expected `int`"),  # type: ignore[arg-type]
    ],
)
def test_class_that_could_not_work_is_refused_with_advice(attributes: dict[str, Any], text: str) -> None:
    described(with_())
    with pytest.raises(Refused, match=text):
        described(with_(**attributes))


def test_class_without_handlers_is_refused() -> None:
    with pytest.raises(Refused, match="defines no handler"):
        described(type("Idle", (Behaviour,), {"match": "home/*"}))


def test_name_that_is_too_long_is_refused() -> None:
    with pytest.raises(Refused, match="100 characters"):
        described(type("X" * 101, (Thermostat,), {}))


def test_patterns_are_kept_once_and_in_their_order() -> None:
    assert checked_patterns("X", ["b/*", "a/*", "b/*"]) == ["b/*", "a/*"]
    assert checked_patterns("X", {"b/*", "a/*"}) == ["a/*", "b/*"]


def test_pattern_of_the_server_is_forbidden() -> None:
    with pytest.raises(Refused) as caught:
        checked_patterns("X", "flux-core/faults/*")
    assert caught.value.status == 403
