"""Joining: how a process comes into the Ray cluster of a Flux.

Tasks and actors are there already. A script, a shell or a command of the command line joins by `RAY_ADDRESS`
if that is set, as Ray's own tools do, else by the run file that `flux up` leaves in its data folder: that
says where its Ray is, and beside it lies the token that Ray asks for.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from flux_actors.errors import Refused, Unavailable

RUN_FILE: Final = "run.json"
TOKEN_FILE: Final = "ray-token"  # noqa: S105 - its name
_DATA: Final = "flux-data"
_CONNECT_S: Final = 3.0
_RAYLET: Final = "ray._raylet"
_CONSTANTS: Final = "ray._private.ray_constants"


class RayPlace(msgspec.Struct, frozen=True):
    """What the run file says of Ray."""

    ray_address: str
    ray_folder: str = ""  # of a Ray that is Flux's own


def join(data: Path | None = None) -> None:
    """Connect this process to the Ray cluster of a Flux, unless it is in one.

    Arguments:
        data: the data folder of the Flux; without it `RAY_ADDRESS` counts, then `FLUX_DATA`, then
            `./flux-data`.

    Raises:
        Refused: no Flux runs there. Unavailable: its Ray does not answer.
    """
    import ray  # noqa: PLC0415 - a second, which those who never join do not pay

    if ray.is_initialized():
        return
    variables = variables_of(data, os.environ)
    address = variables["RAY_ADDRESS"]
    knock(address)
    os.environ.update({name: value for name, value in variables.items() if name != "RAY_ADDRESS"})
    _have_ray_read_its_variables()
    try:
        ray.init(address=address, logging_level=logging.WARNING)
    except (ConnectionError, RuntimeError, ValueError, ray.exceptions.AuthenticationError) as error:
        told = str(error).strip().splitlines() or [type(error).__name__]
        raise Unavailable(f"the Ray cluster at {address} lets nobody join: {told[0]}") from None


def variables_of(data: Path | None, environment: Mapping[str, str]) -> dict[str, str]:
    """Return the variables by which a process joins, `RAY_ADDRESS` among them.

    Raises:
        Refused: no Flux runs on the data folder.
    """
    address = environment.get("RAY_ADDRESS")
    if data is None and address:
        return {"RAY_ADDRESS": address}
    folder = (data or Path(environment.get("FLUX_DATA") or _DATA)).absolute()
    try:
        place = msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=RayPlace)
    except (OSError, msgspec.DecodeError):
        raise Refused(
            f"no Flux runs on {folder}: start it with `flux up`, name its folder with --data or FLUX_DATA, "
            "or set RAY_ADDRESS to the Ray cluster that it is on"
        ) from None
    token = folder / TOKEN_FILE if place.ray_folder else None
    return {"RAY_ADDRESS": place.ray_address} | driver_environment(token)


def driver_environment(token: Path | None) -> dict[str, str]:
    """Return the variables that a process needs to be let into a local Ray of Flux, whose token that is."""
    variables = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_DISABLE_IMPORT_WARNING": "1"}
    if token is not None:
        variables |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
        # Ray makes the machine's own address of 127.0.0.1, and its gRPC then listens on all interfaces. Told
        # that there are no clusters of several machines (its default on other systems) it does neither.
        variables["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return variables


def knock(address: str) -> None:
    """Raise `Unavailable` at once when nobody listens at an address: Ray would try for half a minute."""
    host, _, port = address.rpartition(":")
    if "://" in address or not host or not port.isdigit():
        return  # "auto", a Ray client, or whatever else Ray finds its way by
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except OSError:
        raise Unavailable(f"no Ray answers at {address}: is that Flux still running?") from None


def _have_ray_read_its_variables() -> None:
    """Have them count though Ray was imported before: it reads some of them only then."""
    raylet: Any = sys.modules[_RAYLET]
    constants: Any = sys.modules[_CONSTANTS]
    if os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER") == "0":
        constants.ENABLE_RAY_CLUSTER = False
    raylet.Config.initialize("")
    raylet.AuthenticationTokenLoader.instance().reset_cache()
