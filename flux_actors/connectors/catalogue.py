"""Which connectors there are: the four that clients know, and those of other packages.

Another package names its class under the entry point group `flux.connectors`. Its name is known without its
code; the code is loaded by whoever polls, never by a door. One that cannot be loaded is told in the
connector's own `last_error`, and takes nothing else with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Final

import structlog

from flux_actors.connectors.base import NAME, Connector
from flux_actors.connectors.records import GENERIC
from flux_actors.errors import Corrupt

_log = structlog.get_logger(__name__)
GROUP: Final = "flux.connectors"
BUILT_IN: Final = ("github", "gmail", "linkedin", "calendar")  # the order that clients know
_OWN: Final = tuple(
    EntryPoint(name, f"flux_actors.connectors.{name}:{kind}", GROUP)
    for name, kind in (
        *(("github", "GitHub"), ("gmail", "Gmail"), ("linkedin", "LinkedIn"), ("calendar", "Calendar")),
        (GENERIC, "Generic"),
    )
)


def found_entry_points() -> Iterable[EntryPoint]:
    """Return what the installed packages name."""
    return entry_points(group=GROUP)


class Catalogue:
    """The connectors of this server, by name; their code is loaded when it is asked for."""

    def __init__(self, find: Callable[[], Iterable[EntryPoint]] = found_entry_points) -> None:
        self._own = {point.name: point for point in _OWN}
        self._others = _usable(find(), self._own)

    @property
    def names(self) -> list[str]:
        """The names that a token can be given for."""
        return [*BUILT_IN, *sorted(self._others)]

    def is_built_in(self, name: str) -> bool:
        """Whether a connector needs no foreign code."""
        return name in self._own

    def connector(self, name: str) -> Connector:
        """Return a connector.

        Raises:
            Corrupt: there is none (any more), or its package cannot be loaded.
        """
        point = self._own.get(name) or self._others.get(name)
        if point is None:
            raise Corrupt(f"no installed package has a connector {name}")
        try:
            made = point.load()()
        except Exception as error:  # whatever a package of others raises concerns it alone
            raise Corrupt(f"the package of {name} cannot be loaded ({type(error).__name__})") from error
        if not isinstance(made, Connector):
            raise Corrupt(f"{point.value} is no flux_actors.connectors.base.Connector")
        return made


def _usable(found: Iterable[EntryPoint], own: Mapping[str, EntryPoint]) -> dict[str, EntryPoint]:
    """Return the entry points whose names can be used; the first of a name counts."""
    usable: dict[str, EntryPoint] = {}
    for point in found:
        if not NAME.fullmatch(point.name) or point.name in own or point.name in usable:
            _log.warning("connector.name_refused", name=point.name, value=point.value)
        else:
            usable[point.name] = point
    return usable
