"""Under which names Ray knows the parts of a Flux."""

from __future__ import annotations

from typing import Final

RAY_NAMESPACE: Final = "flux"
ROUTER_NAME: Final = "flux-router"
