"""The catalogue: which behaviour is deployed for which entities, in which version.

The log carries it whole, in a control event of each partition, under a revision that grows: from that place
on it holds there. So a replay uses, for every event, the version that was in force when it came.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, Literal

import msgspec

from flux_actors.domain.entity_id import CORE_NAMESPACE

_PATTERNS_KEPT: Final = 1_024


class Dedicated(msgspec.Struct, array_like=True, frozen=True):
    """Placement in a Ray actor of its own for each entity.

    Arguments:
        num_cpus: processors that Ray reserves for it.
        num_gpus: the same for GPUs.
        resources: custom resources of Ray, by name.
        idle_s: after so many seconds without a message its process ends; the next message starts it again.
    """

    num_cpus: float = 1.0
    num_gpus: float = 0.0
    resources: dict[str, float] = {}
    idle_s: float = 300.0


class Supervision(msgspec.Struct, array_like=True, frozen=True):
    """What happens when a handler fails.

    Arguments:
        strategy: `restart` tries the message again with a fresh instance, `stop` stops the entity's
            behaviour at once, `escalate` stops the behaviour of all entities.
        retries: how often `restart` tries one message again before it stops the entity.
        backoff_s: before the first of these tries; it doubles, up to `backoff_s_max`.
    """

    strategy: Literal["restart", "stop", "escalate"] = "restart"
    retries: int = 3
    backoff_s: float = 0.1
    backoff_s_max: float = 10.0


class Bounds(msgspec.Struct, array_like=True, frozen=True):
    """What one entity's handlers may take.

    Arguments:
        handler_s: seconds that a handler may run; an async one has `async_s`.
        memory_bytes: of the process that runs them.
        effects_max: effects of one message.
        effects_per_s: effects of one entity, on average; ten times as many at once.
        depth_max: how many effects may lead to one another.
    """

    handler_s: float = 2.0
    async_s: float = 3_600.0
    memory_bytes: int = 2 << 30
    effects_max: int = 1_000
    effects_per_s: float = 1_000.0
    depth_max: int = 32


class Version(msgspec.Struct, array_like=True, frozen=True):
    """One version of a behaviour: what the fold and a shard need to know of its code."""

    number: int
    digest: str  # of the code, by which the code store has it
    match: list[str]
    handles: list[str]  # of `reduce`, `on_change`, `on_reminder`, `on_ask`, `on_tell`
    awaits: list[str] = []  # those of them that are coroutines
    dedicated: Dedicated | None = None
    supervision: Supervision = Supervision()
    bounds: Bounds = Bounds()
    environment: str = ""  # digest of its runtime_env in the code store; "" for Flux's own
    deployed_us: int = 0

    def names(self, entity_id: str) -> bool:
        """Whether it is for an entity."""
        return any(matches(pattern, entity_id) for pattern in self.match)

    def weight(self, entity_id: str) -> int:
        """Return how closely it names an entity: characters that its closest pattern spells out, or -1."""
        return max((literal(one) for one in self.match if matches(one, entity_id)), default=-1)


class Deployed(msgspec.Struct, array_like=True, frozen=True):
    """A behaviour by its name, with the version in force and, for some ids, another one that is tried."""

    name: str
    stable: Version | None = None
    canary: Version | None = None
    canary_prefix: str = ""
    stopped: bool = False  # a fault was escalated
    earlier: list[Version] = []  # newest last
    numbered: int = 0  # the highest number that a version of it ever had

    def version_for(self, entity_id: str) -> Version | None:
        """Return the version that an entity has, `None` when this behaviour is not for it."""
        canary = self.canary
        if canary is not None and entity_id.startswith(self.canary_prefix) and canary.names(entity_id):
            return canary
        stable = self.stable
        return stable if stable is not None and stable.names(entity_id) else None


class Catalogue(msgspec.Struct, array_like=True, frozen=True):
    """All that is deployed."""

    revision: int = 0
    deployed: list[Deployed] = []
    pins: dict[str, str] = {}  # entity id → id of the Ray node that its own actor stays on

    def binding(self, entity_id: str) -> Binding:
        """Return the behaviour of an entity: of several that match, the one that names it most closely."""
        best: Binding | None = None
        best_rank = (-1, "")
        if not entity_id.startswith(CORE_NAMESPACE):
            for one in self.deployed:
                version = one.version_for(entity_id)
                if version is not None and (version.weight(entity_id), one.name) > best_rank:
                    best_rank = (version.weight(entity_id), one.name)
                    best = Binding(self.revision, one, version)
        return best or Binding(self.revision, None, None)


class Binding:
    """The behaviour of an entity under one revision of the catalogue, or that it has none."""

    __slots__ = ("deployed", "reacts", "reduces", "revision", "version")

    def __init__(self, revision: int, deployed: Deployed | None, version: Version | None) -> None:
        self.revision = revision
        self.deployed = deployed
        self.version = version
        handles = () if version is None else version.handles
        self.reduces = "reduce" in handles
        self.reacts = "on_change" in handles

    @property
    def name(self) -> str:
        """The behaviour's name, `""` for none."""
        return "" if self.deployed is None else self.deployed.name


def matches(pattern: str, entity_id: str) -> bool:
    """Whether a pattern names an entity: `*` stands for one part of an id, at its end for all the rest."""
    return _compiled(pattern).fullmatch(entity_id) is not None


def literal(pattern: str) -> int:
    """Return how many characters a pattern spells out."""
    return len(pattern) - pattern.count("*")


@lru_cache(maxsize=_PATTERNS_KEPT)
def _compiled(pattern: str) -> re.Pattern[str]:
    head, last = (pattern[:-1], ".+") if pattern.endswith("*") else (pattern, "")
    return re.compile("[^/]+".join(re.escape(part) for part in head.split("*")) + last, re.DOTALL)
