"""Room for a past: so many entities, and so much memory of the process that folds."""

from __future__ import annotations

from collections.abc import Callable, Sized
from typing import Final, Protocol

from flux_actors import limits
from flux_actors.errors import Refused

TOO_LARGE: Final = 413
Room = Callable[[], bool]  # whether there is some


class Held(Protocol):
    """A state, as far as its size goes."""

    @property
    def entities(self) -> Sized: ...


def always() -> bool:
    """Say that there is room."""
    return True


def check_size(state: Held, room: Room) -> None:
    """Raise `Refused` when a state holds more than there is room for."""
    if len(state.entities) > limits.past_entities_max or not room():
        memory = f"{limits.past_memory_bytes_max // limits.GIB} GiB of memory"
        raise Refused(
            f"this past has more than {limits.past_entities_max} entities, or takes more than {memory}; "
            "narrow a list to one namespace, or ask for an entity as of one of its newest events",
            TOO_LARGE,
        )
