"""Tellers as Ray actors. They belong to the door that started them: Ray ends them with it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import ray
import structlog
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from flux_actors.errors import FluxError, Unavailable
from flux_actors.log.connection import NatsAccess
from flux_actors.past.orders import Order, PagesOrder
from flux_actors.past.teller import RemoteTeller
from flux_actors.past.telling import TellerGone

_log = structlog.get_logger(__name__)


class RayTeller:
    """A `Teller` in a process of Ray."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    async def answer(self, order: Order) -> bytes:
        """Return the answer to an order."""
        answer: bytes = await _told(self._actor.answer.remote(order))
        return answer

    async def first_page(self, order: PagesOrder) -> bytes | None:
        """Fold, and return the first page of a list."""
        page: bytes | None = await _told(self._actor.first_page.remote(order))
        return page

    async def next_page(self) -> bytes | None:
        """Return the list's next page, `None` behind the last."""
        page: bytes | None = await _told(self._actor.next_page.remote())
        return page

    def forget(self) -> None:
        """Have it let go of its list."""
        self._actor.forget.remote()

    def end(self) -> None:
        """End its process, whatever it is doing."""
        with suppress(RayError, ValueError):  # it has ended
            ray.kill(self._actor, no_restart=True)


def ray_tellers(access: NatsAccess, snapshots: str, generation: int) -> Callable[[], RayTeller]:
    """Return what starts a teller, on this node while there is room."""
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    remote = RemoteTeller.options(num_cpus=0, max_restarts=0, scheduling_strategy=here)
    return lambda: RayTeller(remote.remote(access, snapshots, generation))


async def _told(reference: Any) -> Any:
    try:
        return await reference
    except RayActorError:
        raise TellerGone from None
    except RayTaskError as error:
        if isinstance(error.cause, FluxError):
            raise error.cause from None
        _log.error("past.failed", error=repr(error.cause))
        raise Unavailable("the past could not be told; try again in a second") from error
    except RayError as error:
        _log.error("past.lost", error=type(error).__name__)
        raise Unavailable("the past could not be told; try again in a second") from error
