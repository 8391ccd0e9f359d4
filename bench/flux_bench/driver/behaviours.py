"""The behaviours that are measured."""

from __future__ import annotations

from typing import Any, Final

from flux_actors import Behaviour, Dedicated

SPREAD: Final = "acting"  # a namespace that is spread over all partitions
EMITS_EVERY: Final = 100
COUNTED: Final = "acting-counted"  # where effects go


class Silent(Behaviour):
    """Is told of every change, and does nothing."""

    match = f"{SPREAD}/silent/*"

    def on_change(self, entity: Any, change: Any) -> None:
        """Do nothing."""


class Emitting(Behaviour):
    """Emits one effect for every hundredth message."""

    match = f"{SPREAD}/emitting/*"

    def on_change(self, entity: Any, change: Any) -> None:
        """Emit, now and then."""
        number = change.properties["sequence"]
        if number % EMITS_EVERY == 0:
            entity.emit(f"{COUNTED}/{number}", {"sequence": number})


class Answering(Behaviour):
    """Answers with a property of its entity."""

    match = f"{SPREAD}/answering/*"

    def on_change(self, entity: Any, change: Any) -> None:
        """Do nothing."""

    def on_ask(self, entity: Any, message: Any) -> Any:
        """Return the sequence of the entity, and what was asked."""
        return [entity.state.get("sequence"), message]


class Alone(Answering):
    """The same in an actor of its own for each entity."""

    match = f"{SPREAD}/alone/*"
    placement = Dedicated(num_cpus=0)
