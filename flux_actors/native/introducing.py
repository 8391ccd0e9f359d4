"""Asking the router to introduce this process."""

from __future__ import annotations

import asyncio
from typing import Final

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from flux_actors.errors import FluxError, Unavailable
from flux_actors.router.handle import router_handle
from flux_actors.router.introductions import Introduction

_CALL_S: Final = 30.0
_RETRY_S: Final = 0.2
_RESTART_S: Final = 15.0  # for a router that died to be there again; its bound is 5 s


async def introduce(token: str | None) -> Introduction:
    """Return what the router tells one who shows `token`.

    Raises:
        Refused: 401, it is no good. Unavailable: there is no router, or it does not answer.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _RESTART_S
    while True:
        try:
            answer = router_handle().introduce.remote(token)
            found: Introduction = await asyncio.wait_for(answer, _CALL_S)
            return found
        except RayTaskError as error:
            if isinstance(error.cause, FluxError):
                raise error.cause from None
            raise Unavailable("the router could not answer; its log may say why") from None
        except TimeoutError:
            raise Unavailable("the router does not answer; try again in a second") from None
        except RayActorError as error:
            if loop.time() >= deadline:
                raise Unavailable(f"the router is away ({type(error).__name__})") from None
            await asyncio.sleep(_RETRY_S)
        except RayError as error:
            raise Unavailable(f"the router cannot be asked ({type(error).__name__})") from None


def cluster() -> str:
    """Return which Ray cluster this process is in, `""` for none."""
    if not ray.is_initialized():
        return ""
    address: str = ray.get_runtime_context().gcs_address
    return address
