"""The behaviours that a worker has, by the digest of their code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from flux_actors.behaviour.behaviour import REDUCE, Behaviour, defined_handlers, described, method_of
from flux_actors.behaviour.code import load
from flux_actors.behaviour.faults import said_by
from flux_actors.behaviour.wire import NO_CODE, Fault
from flux_actors.domain.acting.catalogue import Bounds


class Codes(Protocol):
    """Where a worker has packed code from."""

    def code(self, digest: str) -> bytes | None:
        """Return packed code, `None` when it is not here."""
        ...


class Method(NamedTuple):
    """The method that does the work of a handler."""

    name: str
    function: Callable[..., Any]  # takes the instance first
    awaits: bool


class Loaded(NamedTuple):
    """A behaviour as its worker needs it."""

    make: type[Behaviour]
    name: str
    bounds: Bounds
    methods: dict[str, Method]  # by handler


class LoadedCodes:
    """Loads each code once; one that cannot be loaded is tried again."""

    def __init__(self, codes: Codes) -> None:
        self._codes = codes
        self._loaded: dict[str, Loaded] = {}

    def of(self, digest: str) -> Loaded | Fault:
        """Return the behaviour of a digest, or why there is none. This runs users' code."""
        found = self._loaded.get(digest)
        if found is not None:
            return found
        data = self._codes.code(digest)
        if data is None:
            return Fault(NO_CODE, f"the code {digest[:16]} is not here")
        try:
            loaded = self._loaded[digest] = _loaded(data)
        except BaseException as error:  # noqa: BLE001 - users' code may raise whatever it likes
            return Fault(NO_CODE, f"its code cannot be loaded: {said_by(error)}")
        return loaded

    def forget(self, digest: str) -> None:
        """Let go of a code."""
        self._loaded.pop(digest, None)


def _loaded(data: bytes) -> Loaded:
    make = load(data)
    description = described(make)
    defined = defined_handlers(make)
    methods: dict[str, Method] = {}
    for handler in description.handles:
        if handler != REDUCE:
            name = method_of(defined, handler)
            methods[handler] = Method(name, getattr(make, name), handler in description.awaits)
    return Loaded(make, description.name, description.bounds, methods)
