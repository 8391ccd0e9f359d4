"""All that Flux has under a name on a Ray cluster, whoever started it."""

from __future__ import annotations

import ray

from flux_actors.router.names import RAY_NAMESPACE


def named_actors() -> list[str]:
    """Return the names of Flux's actors."""
    named = ray.util.list_named_actors(all_namespaces=True)
    return sorted(actor["name"] for actor in named if actor["namespace"] == RAY_NAMESPACE)


def end_named_actors(*, but: str) -> None:
    """End all of them but one; one that is gone by then is no fault."""
    for name in named_actors():
        if name != but:
            try:
                actor = ray.get_actor(name, namespace=RAY_NAMESPACE)
            except ValueError:
                continue
            ray.kill(actor, no_restart=True)
