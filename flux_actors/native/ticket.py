"""A ticket: with what somebody connects, and which travels inside handles to other processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from flux_actors import limits
from flux_actors.domain.entity_id import check_entity_id, check_not_core
from flux_actors.errors import Refused

DEFAULT_SOURCE: Final = "flux-native"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Token, namespace and name of one who connects; the token is left out of every text of it."""

    token: str | None = field(default=None, repr=False)
    namespace: str | None = None
    source: str = DEFAULT_SOURCE

    @classmethod
    def checked(cls, token: object, namespace: object, source: object) -> Ticket:
        """Return the ticket of one who asks for it; raises `Refused` for what can be none."""
        if token is not None and not isinstance(token, str):
            raise Refused("token must be the text that the namespace was given")
        own = None if namespace is None else check_not_core(check_entity_id(namespace))
        if own is not None and "/" in own:
            raise Refused('namespace is the part of ids before the first slash, such as "home"')
        if not isinstance(source, str) or not 1 <= len(source) <= limits.source_chars_max:
            raise Refused(f"source must be a string of 1 to {limits.source_chars_max} characters")
        return cls(token, own, source)
