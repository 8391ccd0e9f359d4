"""What the supervisor tells the launcher; a module of its own, so that both know the class by one name."""

from __future__ import annotations

from dataclasses import dataclass

from flux_actors.log.connection import NatsAccess
from flux_actors.settings import Settings


@dataclass(frozen=True)
class Site:
    """The Ray cluster that Flux lives on, and whose Flux it is."""

    ray_address: str
    cluster_is_ours: bool  # then it ends with Flux; else what Flux put on it is taken off
    owner: str  # the data folder and its machine, in words


@dataclass(frozen=True)
class Start:
    """Put router, shards and doors on the cluster."""

    site: Site
    settings: Settings
    access: NatsAccess
    serve_port: int


@dataclass(frozen=True)
class Stop:
    """Close the doors, have the shards leave snapshots, and take everything off the cluster."""

    site: Site


@dataclass(frozen=True)
class Sweep:
    """Take off a cluster what a killed supervisor of the same data folder left there."""

    site: Site


Orders = Start | Stop | Sweep
