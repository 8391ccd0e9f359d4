"""Where a thread's memory stands: which entity holds what.

    memory/<thread>/=<ns>                               ids of the checkpoints, and of their parents
    memory/<thread>/=<ns>/checkpoints/<id>              one checkpoint without its values, and its metadata
    memory/<thread>/=<ns>/writes/<id>                   what tasks have written since that checkpoint
    memory/<thread>/=<ns>/values/<channel>/<version>    a value of a channel, which many checkpoints share

`<ns>` is LangGraph's name for a subgraph's part of a thread, empty for the graph itself. A checkpoint is
there when the first of these entities names it, and that is written last: so after a crash at any moment it
is there as a whole, or not at all.
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import quote, unquote


class Shelf(NamedTuple):
    """One namespace of one thread."""

    memory: str  # the namespace in Flux
    thread: str
    ns: str

    @property
    def contents(self) -> str:
        """The entity that names the checkpoints."""
        return f"{thread_prefix(self.memory, self.thread)}={_part(self.ns)}"

    def checkpoint(self, checkpoint_id: str) -> str:
        """Return the entity of a checkpoint."""
        return f"{self.contents}/checkpoints/{_part(checkpoint_id)}"

    def writes(self, checkpoint_id: str) -> str:
        """Return the entity of what was written since a checkpoint."""
        return f"{self.contents}/writes/{_part(checkpoint_id)}"

    def value(self, channel: str, version: object) -> str:
        """Return the entity of a value."""
        return f"{self.contents}/values/{_part(channel)}/{_part(str(version))}"


def thread_prefix(memory: str, thread: str) -> str:
    """Return how the ids of all entities of a thread begin."""
    return f"{memory}/{_part(thread)}/"


def shelf_of(memory: str, entity_id: str) -> Shelf | None:
    """Return the shelf whose contents an entity names, `None` for other entities."""
    parts = entity_id.removeprefix(f"{memory}/").split("/")
    if len(parts) != 2 or not parts[1].startswith("="):
        return None
    return Shelf(memory, unquote(parts[0]), unquote(parts[1][1:]))


def _part(text: str) -> str:
    """Return a text as one part of an id."""
    return quote(text, safe="")
