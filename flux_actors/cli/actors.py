"""`flux actors`: the entities that act, how they stand, and what an operator may do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flux_actors.cli.joining import Data, join_flux
from flux_actors.cli.options import Output, OutputFormat, examples
from flux_actors.cli.output import as_texts, new_table, say, show_json, show_table, warn

if TYPE_CHECKING:
    from flux_actors.behaviour.roster import ActorRow

_NODE_CHARS: Final = 8
_ROWS: Final = 200

Entity = Annotated[str, typer.Argument(metavar="ENTITY", help="Its id, such as home/hall/thermostat.")]
Prefix = Annotated[str, typer.Argument(metavar="[PREFIX]", help="Only ids that begin so.")]
Limit = Annotated[
    int, typer.Option(min=1, help="Rows at most; those with something to tell are shown first.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    actors = typer.Typer(
        invoke_without_command=True,
        rich_markup_mode=None,
        help="Entities that act: what each is at, what waits for it, its faults and reminders. Without a "
        "command, lists them. These commands join the Ray cluster of the Flux, so they run on one of its "
        "machines; they need FLUX_ADMIN_TOKEN where the Flux has one.",
        epilog=examples(
            "flux actors",
            "flux actors list home/ --limit 1000 -o json",
            "flux actors kill home/hall/thermostat",
            "flux actors stop home/hall/thermostat",
            "flux actors restart home/hall/thermostat",
            "flux actors pin home/hall/camera 4f1c9a",
            "flux actors unpin home/hall/camera",
        ),
    )
    actors.callback()(every)
    actors.command("list", epilog=examples("flux actors list", "flux actors list home/ -o json"))(found)
    for name, command in (("kill", kill), ("restart", restart), ("stop", stop)):
        actors.command(name, epilog=examples(f"flux actors {name} home/hall/thermostat"))(command)
    actors.command(
        "pin", epilog=examples("flux actors pin home/hall/camera 4f1c9a", "ray list nodes  # tells the ids")
    )(pin)
    actors.command("unpin", epilog=examples("flux actors unpin home/hall/camera"))(unpin)
    app.add_typer(actors, name="actors")


def every(context: typer.Context, data: Data = None, output: Output = OutputFormat.TABLE) -> None:
    """List entities that act, unless a command follows."""
    if context.invoked_subcommand is None:
        _show("", _ROWS, data, output)


def found(
    prefix: Prefix = "", limit: Limit = _ROWS, data: Data = None, output: Output = OutputFormat.TABLE
) -> None:
    """List entities that act, by their ids.

    State is idle, running, waiting (there is no process for it now), retrying (a message failed), stopped, or
    escalated (its behaviour is stopped for all its entities). Faults count since its shard started.
    """
    _show(prefix, limit, data, output)


def kill(entity: Entity, data: Data = None) -> None:
    """End what runs of an entity's behaviour: its next message begins with a fresh instance.

    The process of a dedicated one ends, and a message that it was at is handled again. State and messages
    are not lost.
    """
    from flux_actors.native import actors

    join_flux(data)
    actors.kill(entity)
    say(f"{entity} begins anew with its next message")


def restart(entity: Entity, data: Data = None) -> None:
    """Have an entity's behaviour begin anew, also one that a fault, or stop, has stopped."""
    from flux_actors.native import actors

    join_flux(data)
    actors.restart(entity)
    say(f"{entity} acts again")


def stop(entity: Entity, data: Data = None) -> None:
    """Stop an entity's behaviour until restart: what waits for it, and what comes, is not handled."""
    from flux_actors.native import actors

    join_flux(data)
    actors.stop(entity)
    say(f"{entity} is stopped; `flux actors restart {entity}` has it act again")


def pin(
    entity: Entity,
    node: Annotated[str, typer.Argument(metavar="NODE", help="Id of a Ray node, or how it begins.")],
    data: Data = None,
) -> None:
    """Have an entity's dedicated actor live on one Ray node; it moves there within a second."""
    from flux_actors.native import actors

    join_flux(data)
    actors.pin(entity, node)
    say(f"{entity} is pinned to the node")


def unpin(entity: Entity, data: Data = None) -> None:
    """Have an entity's dedicated actor live wherever there is room."""
    from flux_actors.native import actors

    join_flux(data)
    actors.unpin(entity)
    say(f"{entity} is pinned no longer")


def _show(prefix: str, limit: int, data: Any, output: OutputFormat) -> None:
    from flux_actors.native import actors

    join_flux(data)
    rows = actors.find(prefix, limit=limit)
    if output is OutputFormat.JSON:
        show_json([_facts(row) for row in rows])
        return
    if not rows:
        say(f"no entity{f' beginning with {prefix}' if prefix else ''} has a behaviour")
        return
    table = new_table("entity", "behaviour", "placement", "state", "mailbox", "faults", "reminders")
    for column in table.columns[1:]:
        column.no_wrap = True  # ids are folded first
    for row in rows:
        table.add_row(*as_texts(*_cells(row)))
    show_table(table)
    for row in rows:
        if row.fault:
            say(f"{row.entity}: {row.fault}")
    if len(rows) == limit:
        warn(f"there may be more than these {limit}: name how their ids begin, or give a higher --limit")


def _cells(row: ActorRow) -> list[str]:
    next_reminder = _facts(row)["next_reminder"]
    reminders = f"{row.reminders}, next {next_reminder[:19]}" if next_reminder else ""
    node = row.node[:_NODE_CHARS] + (" pinned" if row.pinned else "")
    return [
        row.entity,
        f"{row.behaviour} {row.version}",
        f"{row.placement} {node}".strip(),
        *(row.state, str(row.messages or ""), str(row.faults or ""), reminders),
    ]


def _facts(row: ActorRow) -> dict[str, Any]:
    from msgspec.structs import asdict

    from flux_actors.domain.clock import iso_of

    facts = asdict(row)
    next_us = facts.pop("next_reminder_us")
    return facts | {"next_reminder": None if next_us is None else iso_of(next_us)}
