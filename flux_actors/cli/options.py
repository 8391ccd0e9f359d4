"""Options that commands share, and the client that they describe."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flux_actors.errors import Refused

if TYPE_CHECKING:
    from flux_actors.client.http import FluxClient
    from flux_actors.settings import Settings


class OutputFormat(StrEnum):
    """How an answer is printed."""

    TABLE = "table"
    JSON = "json"


Url = Annotated[str, typer.Option("--url", envvar="FLUX_URL", help="Where Flux listens.")]
At = Annotated[
    str | None,
    typer.Option("--at", metavar="TIME|POSITION", help="As it was: an RFC 3339 time, or a position of Flux."),
]
Output = Annotated[OutputFormat, typer.Option("-o", "--output", help="For people or for programs.")]
Wait = Annotated[bool, typer.Option("--wait", help="Return when every later read sees it.")]


def token() -> str | None:
    """Return the namespace's token; only the environment may hold it."""
    return os.environ.get("FLUX_TOKEN")


def authorities() -> Path | None:
    """Return the file of the authorities to trust under https; `None` for those of this machine."""
    file = os.environ.get("FLUX_CA")
    return Path(file) if file else None


def open_client(url: str) -> FluxClient:
    """Return a client with the tokens and the trust of the environment."""
    from flux_actors.client.http import FluxClient

    admin_token = os.environ.get("FLUX_ADMIN_TOKEN")
    return FluxClient(url, token=token(), admin_token=admin_token, authorities=authorities())


def settings_of(
    given: Mapping[str, Any], config: Path | None = None, *, read_secrets: bool = True
) -> Settings:
    """Return the settings of this shell: options over the environment over the settings file.

    Raises:
        Refused: a value does not fit, or `config` is no settings file.
    """
    from flux_actors.settings_file import find_settings_file
    from flux_actors.settings_loading import load_settings

    file = find_settings_file(config, os.environ)
    return load_settings(given, os.environ, *([file] if file is not None else []), read_secrets=read_secrets)


def milliseconds_of(text: str, option: str) -> int:
    """Return the time that an option was given; raises `Refused` for what is none."""
    from flux_actors.quantities import seconds_of

    try:
        return seconds_of(text) * 1_000
    except ValueError as error:
        raise Refused(f"{option}: {error}") from None


def examples(*lines: str) -> str:
    r"""Return the end of a command's help; `\b` keeps its lines as they are."""
    return "\b\nExamples:\n" + "\n".join(f"  {line}" for line in lines)
