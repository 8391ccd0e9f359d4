"""`flux shards`: which shard hosts what, and another number of them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Final

import typer

from flux_actors.cli.joining import Data, join_flux
from flux_actors.cli.options import Output, OutputFormat, examples
from flux_actors.cli.output import as_texts, new_table, say, show_json, show_table

if TYPE_CHECKING:
    from flux_actors.native.shards import Shards

_NODE_CHARS: Final = 8
_LOOK_S: Final = 0.2

Number = Annotated[int | None, typer.Argument(metavar="[NUMBER]", help="How many shards there shall be.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=examples("flux shards", "flux shards 3", "flux shards -o json"))(shards)


def shards(number: Number = None, data: Data = None, output: Output = OutputFormat.TABLE) -> None:
    """Show the shards, on which node each is and what it hosts; with NUMBER, have so many.

    Partitions then move between them, one by one, until the shards carry alike: by events per second and
    entities. Writes go on; reads wait some milliseconds when their partition changes hands. Ctrl-C ends the
    watching, not the moving. The number holds until Flux or its router starts again (killed, or for
    `flux repartition`): what is to stay belongs into its settings. Runs on a machine of the Ray cluster, and
    needs FLUX_ADMIN_TOKEN where the Flux has one.
    """
    from flux_actors.native import shards as native

    join_flux(data)
    if number is not None:
        native.scale(number)
        _watch(quiet=output is OutputFormat.JSON)
    found = native.look()
    if output is OutputFormat.JSON:
        show_json([row._asdict() for row in found.rows])
    else:
        _show(found)


def _watch(*, quiet: bool) -> None:
    from flux_actors.native import shards as native

    told = None
    while not (found := native.look()).done:
        if found.moving is not None and found.moving != told and not quiet:
            told = found.moving
            say(f"partition {told.partition} moves from {told.source} to {told.target}; {told.left} to move")
        time.sleep(_LOOK_S)


def _show(found: Shards) -> None:
    table = new_table("shard", "node", "partitions", "entities", "events")
    for row in found.rows:
        partitions = ", ".join(map(str, row.partitions)) or "none"
        cells = row.shard, row.node[:_NODE_CHARS], partitions, f"{row.entities:,}", f"{row.events:,}"
        table.add_row(*as_texts(*cells))
    show_table(table)
    if not found.done:
        say(f"partitions move until there are {found.wanted} shards that carry alike")
