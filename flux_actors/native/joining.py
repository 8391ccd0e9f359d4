"""Joining the Ray cluster that Flux runs on."""

from __future__ import annotations

import ray

from flux_actors.errors import Unavailable


def join() -> None:
    """Have this process be in a Ray cluster: tasks and actors are, a driver may not be yet.

    Raises:
        Unavailable: there is none.
    """
    if ray.is_initialized():
        return
    try:
        ray.init(address="auto", log_to_driver=False)
    except ConnectionError as error:
        raise Unavailable(f"there is no Ray cluster to join: {error}") from None
