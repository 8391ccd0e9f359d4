"""What the supervisor tells the launcher; a module of its own, so that both know the class by one name."""

from __future__ import annotations

from dataclasses import dataclass

from flux_actors.log.connection import NatsAccess
from flux_actors.settings import Settings


@dataclass(frozen=True)
class Orders:
    """What the launcher is to do."""

    action: str  # "start" or "stop"
    ray_address: str
    settings: Settings
    access: NatsAccess
    serve_port: int
