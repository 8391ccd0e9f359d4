"""`flux repartition`: more partitions for a log that lives, and namespaces spread over all of them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flux_actors.cli.options import Output, OutputFormat, examples, settings_of
from flux_actors.cli.output import say, show_json, warn
from flux_actors.errors import Refused

if TYPE_CHECKING:
    from flux_cluster.repartitioning import Repartitioned


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        epilog=examples(
            "flux repartition --partitions 8",
            "flux repartition --partitions 16 --spread sensors,home --data /srv/flux",
            "flux repartition --spread sensors --nats-url nats://log:4222 --keep-old",
            "flux repartition --forget-old",
        )
    )(repartition)


def repartition(
    partitions: Annotated[
        int | None, typer.Option("--partitions", min=1, help="How many there shall be; more than there are.")
    ] = None,
    spread: Annotated[
        str | None,
        typer.Option("--spread", help='All namespaces to be spread, comma separated; "" for none.'),
    ] = None,
    keep_old: Annotated[
        bool, typer.Option("--keep-old", help="Keep the log as it was, closed, until --forget-old.")
    ] = False,
    forget_old: Annotated[
        bool,
        typer.Option(
            "--forget-old", help="Only remove what earlier runs have kept, or left. Ends one that copies."
        ),
    ] = False,
    data: Annotated[
        Path | None, typer.Option("--data", help="Data folder; default ./flux-data or FLUX_DATA.")
    ] = None,
    nats_url: Annotated[
        str | None, typer.Option("--nats-url", help="An external NATS server, with its login in FLUX_NATS_*.")
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Give a log more partitions, or spread namespaces over all of them, while Flux goes on.

    The log is copied into a new one while events go on; both are folded and compared. Then the log is closed
    for a moment (writers wait), the rest is copied, and the new one takes its place, at once and as a whole.
    Up to then the log is untouched: whatever dies, run the command again, but not beside one that still runs:
    the earlier one would end with an error. ETags and positions of before match
    nothing afterwards, and watchers are told to begin anew. Needs memory for all entities twice, and the
    settings that Flux has (FLUX_SNAPSHOTS, FLUX_HISTORY_POSITIONS).
    """
    from flux_actors.logs import set_up_logs
    from flux_cluster.repartitioning import forget_earlier
    from flux_cluster.repartitioning import repartition as run

    os.umask(0o077)
    set_up_logs(sys.stderr)
    settings = settings_of({"data": data, "nats_url": nats_url})
    if forget_old:
        removed = forget_earlier(settings)
        if output is OutputFormat.JSON:
            show_json({"removed": removed})
        else:
            say(f"removed {removed} partitions of earlier logs")
        return
    if partitions is None and spread is None:
        raise Refused("say what to do: --partitions, --spread, or --forget-old")
    names = None if spread is None else [name.strip() for name in spread.split(",") if name.strip()]
    _show(run(settings, partitions, names, keep_old=keep_old, say=warn), output)


def _show(done: Repartitioned, output: OutputFormat) -> None:
    before, after = done.before, done.after
    if output is OutputFormat.JSON:
        show_json(
            {
                "log": after.log_id,
                "generation": after.generation,
                "partitions": [before.partitions, after.partitions],
                "spread": after.spread,
                "events": done.events,
                "blocks": done.blocks,
                "set_aside": done.set_aside,
                "copied_s": round(done.copied_s, 3),
                "closed_s": round(done.closed_s, 3),
                "removed": done.removed,
            }
        )
        return
    spread = f", {', '.join(after.spread)} spread" if after.spread else ""
    say(
        f"{before.partitions} partitions have become {after.partitions}{spread}: {done.events} events "
        f"copied in {done.copied_s:.1f} s; the log was closed for {done.closed_s * 1_000:.0f} ms"
    )
    if done.set_aside:
        say(f"{done.set_aside} events that nobody can read were left behind")
    if not done.removed:
        say("the log as it was is kept; `flux repartition --forget-old` removes it")
