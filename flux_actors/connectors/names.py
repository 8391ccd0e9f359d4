"""The names under which Ray knows the connectors' actors; doors can ask without loading more."""

from __future__ import annotations

from typing import Final

KEEPER_NAME: Final = "flux-keeper"
_ACTOR_PREFIX: Final = "flux-connectors-"


def actor_name(namespace: str) -> str:
    """Return the name of a namespace's actor."""
    return _ACTOR_PREFIX + namespace
