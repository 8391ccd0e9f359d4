"""`flux chaos`: breaking a Flux on purpose, and checking that nothing came of it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from flux_actors.cli.options import examples
from flux_actors.cli.output import say, warn


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("chaos", epilog=_EXAMPLES)(chaos)


_EXAMPLES: Final = examples(
    "flux chaos --list                     what each scenario does",
    "flux chaos shard-kill node-kill       two of them",
    "flux chaos --minutes 30               all, again and again, each time otherwise",
    "flux chaos node-kill --seed 4711      exactly that again",
    "flux chaos mine.toml                  a scenario of your own",
)


def chaos(
    scenarios: Annotated[
        list[str] | None, typer.Argument(metavar="[SCENARIO]…", help="Names, or files; default all.")
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(min=0, help="Decides all that is left to chance.", show_default="another each time"),
    ] = None,
    minutes: Annotated[
        float | None, typer.Option(min=0.1, help="Go on so long, with the next seed each round.")
    ] = None,
    list_them: Annotated[bool, typer.Option("--list", help="Say what each scenario does.")] = False,
) -> None:
    """Break a Flux on purpose while clients use it, and check that nothing acknowledged is lost.

    Three Ray nodes and three nats-servers are started on this machine for it, and ended again; a Flux that
    runs is not touched. Per scenario a line says how many events were acknowledged, how many faults were
    injected, for how long Flux did not serve, and whether all checks hold: no event lost, none applied
    twice, order kept, all doors and watchers alike, and state equal to log. Else the lines below say what
    does not, with the command that plays it again, and the exit code is 1.
    """
    from flux_cluster.chaos import command

    if list_them:
        command.list_scenarios(say)
        return
    wanted = command.Wanted(tuple(scenarios or ()), seed, minutes)
    raise typer.Exit(command.run(wanted, say, warn))
