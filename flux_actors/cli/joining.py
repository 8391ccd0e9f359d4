"""How commands, and a shell, come into the Ray cluster of a Flux."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated

import typer

from flux_actors.cli.options import examples

Data = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder of the Flux; default RAY_ADDRESS, FLUX_DATA or ./flux-data."),
]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        "ray-env", epilog=examples('eval "$(flux ray-env)" && ray status', "flux ray-env --data /srv/flux")
    )(ray_env)


def join_flux(data: Path | None) -> None:
    """Connect this command to the Ray cluster of a Flux; what it does there goes by no HTTP.

    Raises:
        Refused: no Flux runs there. Unavailable: its Ray does not answer.
    """
    from flux_actors.native.joining import join

    join(data)


def ray_env(data: Data = None) -> None:
    r"""Print the variables by which Ray's own tools, and scripts with ray.init(), join the Ray of a Flux.

    A script that uses flux_actors needs none of this where RAY_ADDRESS or FLUX_DATA is set, or ./flux-data
    is the data folder: flux.connect() and flux.deploy() join by themselves.
    """
    from flux_actors.native.joining import variables_of

    for name, value in variables_of(data, os.environ).items():
        typer.echo(f"export {name}={shlex.quote(value)}")
