"""The entry point of `flux`: all commands in one app, and one place where errors become sentences."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flux_actors import __version__
from flux_actors.cli import (
    actors,
    behaviours,
    bench,
    chaos,
    claims,
    cluster,
    connectors,
    demo,
    disaster,
    entities,
    joining,
    past,
    repartition,
    shards,
    tenants,
    watch,
)
from flux_actors.cli.options import examples
from flux_actors.cli.output import warn
from flux_actors.errors import FluxError


class FluxGroup(TyperGroup):
    """A group of commands that tells errors of the tree in one sentence on standard error."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FluxError as error:
            warn(f"flux: {error.message}")
            raise typer.Exit(1) from None


app = typer.Typer(
    cls=FluxGroup,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # help drawn by rich takes 0.4 s instead of 0.1 s
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("flux up", "flux demo", "flux watch 'demo/*'", "flux publish home/lamp on:=true"),
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"flux {__version__}")
        raise typer.Exit


@app.callback()
def flux(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Flux: a persistent, shared world state for agents.

    Agents publish events; Flux folds them into entities that everyone can read and watch. FLUX_URL says
    where Flux is (http://localhost:3000 if unset), FLUX_TOKEN and FLUX_ADMIN_TOKEN who you are, and
    FLUX_CA the file of the authorities to trust under https (those of this machine if unset).
    """


cluster.register(app)
disaster.register(app)
entities.register(app)
past.register(app)
claims.register(app)
watch.register(app)
demo.register(app)
tenants.register(app)
connectors.register(app)
actors.register(app)
shards.register(app)
repartition.register(app)
behaviours.register(app)
joining.register(app)
bench.register(app)
chaos.register(app)


def main() -> None:
    """Run the command line."""
    app()
