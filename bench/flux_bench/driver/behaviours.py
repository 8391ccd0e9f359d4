"""The behaviours that are measured, and the entities that have them.

Their namespaces are many, so that every partition has some.
"""

from __future__ import annotations

from typing import Any, Final

from flux_actors import Behaviour, Bounds, Dedicated

NAMESPACES: Final = 16
EMITS_EVERY: Final = 100
COUNTED: Final = "acting-counted"  # where effects go


def entity_of(kind: str, number: int) -> str:
    """Return the id of an entity of a kind."""
    return f"acting-{number % NAMESPACES}/{kind}/{number:07d}"


def _match(kind: str) -> list[str]:
    return [f"acting-{number}/{kind}/*" for number in range(NAMESPACES)]


class Silent(Behaviour):
    """Is told of every change, and does nothing."""

    match = _match("silent")

    def on_change(self, entity: Any, change: Any) -> None:
        """Do nothing."""


class Emitting(Behaviour):
    """Emits one effect for every hundredth message."""

    match = _match("emitting")
    bounds = Bounds(effects_per_s=1e6)

    def on_change(self, entity: Any, change: Any) -> None:
        """Emit, now and then."""
        number = change.properties["sequence"]
        if number % EMITS_EVERY == 0:
            entity.emit(f"{COUNTED}/{number}", {"sequence": number})


class Answering(Behaviour):
    """Answers with a property of its entity."""

    match = _match("answering")

    def on_ask(self, entity: Any, message: Any) -> Any:
        """Return the sequence of the entity, and what was asked."""
        return [entity.state.get("sequence"), message]


class Alone(Answering):
    """The same in an actor of its own for each entity."""

    match = _match("alone")
    placement = Dedicated(num_cpus=0)
