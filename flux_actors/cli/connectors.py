"""`flux connectors`: what an operator needs for connectors."""

from __future__ import annotations

import typer

from flux_actors.cli.options import examples


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    connectors = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="What an operator needs for connectors of other APIs.",
        epilog=examples('export FLUX_ENCRYPTION_KEY="$(flux connectors key)"'),
    )
    connectors.callback()(_group)
    connectors.command("key")(print_key)
    app.add_typer(connectors, name="connectors")


def _group() -> None:
    """Keep `key` a command of the group, though it is the only one so far."""


def print_key() -> None:
    """Print a fresh key for FLUX_ENCRYPTION_KEY, which encrypts the connectors' credentials.

    To change keys, put the new one before the old one, with a comma between, and start Flux again. Once it
    is up, every credential is under the new key, and the old one can go.
    """
    from flux_actors.connectors.vault import new_key

    typer.echo(new_key())
