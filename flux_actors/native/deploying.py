"""Deploying behaviours from Ray code: a script, a task, an actor.

All functions here wait for their answer; in async code call them through `asyncio.to_thread`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flux_actors.behaviour.behaviour import REDUCE, Behaviour, Description, described
from flux_actors.behaviour.code import digest_of, pack
from flux_actors.behaviour.deployer import DeployRequest
from flux_actors.domain.acting.catalogue import Catalogue, Deployed, Version
from flux_actors.domain.acting.versions import check_name, check_prefix, check_version
from flux_actors.errors import FluxError, Unavailable
from flux_actors.native.environments import environment_json
from flux_actors.native.joining import join
from flux_actors.native.trying import try_out

_ANSWER_S: Final = 60.0


def deploy(
    cls: type[Behaviour],
    *,
    name: str | None = None,
    canary: str | None = None,
    runtime_env: Mapping[str, Any] | None = None,
    admin_token: str | None = None,
) -> Version:
    """Have entities act as a class says, from now on, and return the version that it has become.

    The code travels: its own module, and others that are no installed packages, need not be on the cluster.
    Deploying the same again changes nothing.

    Arguments:
        cls: a class derived from `Behaviour`.
        name: under which it is deployed; that of the class if left out.
        canary: have it hold only for ids that begin so; `promote` then has it hold for all.
        runtime_env: of Ray, for packages that the handlers need; `reduce` runs without it.
        admin_token: of the Flux, where it has one; `FLUX_ADMIN_TOKEN` if left out.

    Raises:
        Refused: it may not, or cannot, be deployed; the text says what to change.
        Unavailable: Flux cannot be reached, or not every partition could be told yet.
    """
    description = described(cls)
    name = check_name(name or description.name)
    if canary is not None:
        check_prefix(canary)
    environment = environment_json(runtime_env)
    code = pack(cls)
    version = check_version(_version(description, code, environment))
    join()
    read = msgspec.json.decode(environment) if environment else None
    try_out(name, code, read, reduces=REDUCE in description.handles)
    deployed: Version = ask_router(
        "deploy", admin_token, DeployRequest(name, version, code, environment, canary)
    )
    return deployed


def behaviours(*, admin_token: str | None = None) -> list[Deployed]:
    """Return all that is deployed, sorted by name."""
    catalogue: Catalogue = ask_router("behaviours", admin_token)
    return catalogue.deployed


def promote(name: str, *, admin_token: str | None = None) -> Deployed:
    """Have the canary of a behaviour hold for all, and return what is deployed then."""
    return _of(ask_router("promote", admin_token, name), name)


def rollback(name: str, *, admin_token: str | None = None) -> Deployed:
    """End the canary of a behaviour, or else go back to the version before; return what is deployed then.

    Of a canary that was all there was, nothing is left.
    """
    return _of(ask_router("rollback", admin_token, name), name)


def remove(name: str, *, admin_token: str | None = None) -> None:
    """Take a behaviour away: its entities stay as they are, and act no longer."""
    ask_router("remove", admin_token, name)


def resume(name: str, *, admin_token: str | None = None) -> Deployed:
    """Start a behaviour again that a fault has stopped, and return what is deployed then."""
    return _of(ask_router("resume", admin_token, name), name)


def _version(description: Description, code: bytes, environment: bytes) -> Version:
    return Version(
        0,
        digest_of(code),
        description.match,
        description.handles,
        description.awaits,
        description.dedicated,
        description.supervision,
        description.bounds,
        digest_of(environment) if environment else "",
    )


def _of(catalogue: Catalogue, name: str) -> Deployed:
    return next((one for one in catalogue.deployed if one.name == name), Deployed(name))


def ask_router(method: str, admin_token: str | None, *arguments: Any) -> Any:
    """Return the router's answer; what it raises is raised as it is."""
    join()
    import ray  # noqa: PLC0415 - a second, which those who never deploy do not pay
    from ray.exceptions import GetTimeoutError, RayError, RayTaskError  # noqa: PLC0415

    from flux_actors.router.handle import router_handle  # noqa: PLC0415 - the same

    token = admin_token or os.environ.get("FLUX_ADMIN_TOKEN")
    try:
        return ray.get(getattr(router_handle(), method).remote(*arguments, token), timeout=_ANSWER_S)
    except RayTaskError as error:
        cause: Any = error.cause
        if isinstance(cause, FluxError):
            raise cause from None
        raise
    except (RayError, GetTimeoutError) as error:
        raise Unavailable(
            f"the router does not answer ({type(error).__name__}); look with `flux behaviours list` whether "
            "the change was made"
        ) from None
