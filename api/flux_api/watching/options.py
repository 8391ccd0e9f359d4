"""The options of a subscription, read from what a client sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

from flux_actors import limits
from flux_actors.domain.position import Packed
from flux_actors.domain.where import where_of
from flux_actors.errors import Refused


class Options(NamedTuple):
    """How a pattern is watched; the default is how everybody does."""

    initial: bool = False  # the present state first
    places: Mapping[int, Packed] | None = None  # what is behind these positions first
    where: str | None = None
    fields: tuple[str, ...] | None = None
    delta: bool = False  # one message per event instead of one per property
    batch: bool = False  # a JSON array per frame
    live: bool = False  # a message once all has been told that it begins with

    @property
    def begins(self) -> bool:
        """Whether anything has to come before what happens from now on."""
        return self.initial or self.live or self.places is not None or self.where is not None


PLAIN: Final = Options()


class Asked(Protocol):
    """A subscribe as it came, before its fields were checked."""

    @property
    def initial(self) -> Any: ...
    @property
    def from_position(self) -> Any: ...
    @property
    def where(self) -> Any: ...
    @property
    def fields(self) -> Any: ...
    @property
    def format(self) -> Any: ...
    @property
    def batch(self) -> Any: ...
    @property
    def live(self) -> Any: ...


def options_of(asked: Asked, parse: Callable[[str], Mapping[int, Packed]]) -> Options:
    """Return the options of a subscribe; `parse` reads the text of a position.

    Raises:
        Refused: one of them is none.
    """
    return Options(
        initial=_flag("initial", asked.initial),
        places=_places(asked.from_position, parse),
        where=_where(asked.where),
        fields=_fields(asked.fields),
        delta=_delta(asked.format),
        batch=_flag("batch", asked.batch),
        live=_flag("live", asked.live),
    )


def _flag(name: str, value: Any) -> bool:
    if value is None or isinstance(value, bool):
        return bool(value)
    raise Refused(f"{name} must be true or false")


def _places(value: Any, parse: Callable[[str], Mapping[int, Packed]]) -> Mapping[int, Packed] | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused("from must be the text of a position, such as a delta has it")
    return parse(value)


def _where(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise Refused('where must be a text such as "battery < 0.2"')
    where_of(value)
    return value


def _fields(value: Any) -> tuple[str, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise Refused('fields must be a list of property names such as ["battery"]')
    if len(value) > limits.fields_max:
        raise Refused(f"fields may name at most {limits.fields_max} properties")
    return tuple(dict.fromkeys(value))


def _delta(value: Any) -> bool:
    if value is None:
        return False
    if isinstance(value, str) and value == "delta":
        return True
    raise Refused('format may be "delta"; leave it out for an update per property')
