"""Commands on what was: history, diff; and how much of it the log holds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flux_actors.cli.options import Output, OutputFormat, Url, examples, open_client
from flux_actors.cli.output import (
    as_texts,
    new_table,
    say,
    show_events,
    show_json,
    show_json_array,
    show_table,
    value_text,
    warn,
)
from flux_actors.client import DEFAULT_URL
from flux_actors.errors import Refused

if TYPE_CHECKING:
    from flux_actors.client.answers import HistoryPart
    from flux_actors.client.http import FluxClient
    from flux_actors.domain.entity import EntityBody

_NOT_FOUND: Final = 404
_LOG_COLUMNS: Final = (
    *("partition", "blocks", "size", "first", "last"),
    *("snapshots", "oldest snapshot", "a trim keeps from"),
)
_UNITS: Final = ("B", "kB", "MB", "GB", "TB")
_Change = dict[str, Any]


def history(
    entity_id: Annotated[str, typer.Argument(metavar="ID", help="The entity, such as home/lamp.")],
    since: Annotated[str | None, typer.Option(help="First time, RFC 3339.", show_default="a day ago")] = None,
    until: Annotated[
        str | None, typer.Option(help="Time that comes after the last.", show_default="now")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many of the newest.")] = 100,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show the events of an entity, newest first.

    Flux remembers which are the newest 500; where older ones, or ones that the log forgot, are missing, it
    says so.
    """
    complete_since: list[str | None] = []
    with open_client(url) as client:
        parts = client.history_parts(entity_id, since=since, until=until, limit=limit)
        events = chain.from_iterable(_noting(parts, complete_since))
        if output is OutputFormat.JSON:
            show_json_array(events)
        else:
            show_events([*events])
    if complete_since and complete_since[-1] is not None:
        warn(f"nothing is missing since {complete_since[-1]}; of what was before, Flux no longer tells all")


def diff(
    entity_id: Annotated[str, typer.Argument(metavar="ID", help="The entity, such as home/lamp.")],
    before: Annotated[
        str,
        typer.Option("--from", metavar="TIME|POSITION", help="The earlier moment, RFC 3339 or a position."),
    ],
    after: Annotated[
        str | None,
        typer.Option("--to", metavar="TIME|POSITION", help="The later moment.", show_default="now"),
    ] = None,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show what changed in an entity between two moments.

    Both are as `flux get --at` takes them. An entity that did not exist then has no properties.
    """
    with open_client(url) as client:
        old, new = _entity_at(client, entity_id, before), _entity_at(client, entity_id, after)
    changes = changes_between(_properties(old), _properties(new))
    if output is OutputFormat.JSON:
        show_json({"id": entity_id, "from": old, "to": new, "changes": changes})
    else:
        _show_changes(entity_id, old, new, changes)


def log(url: Url = DEFAULT_URL, output: Output = OutputFormat.TABLE) -> None:
    """Show how much log there is, from when to when, and what a trim would keep.

    `flux up --log-max-age` and `--log-max-bytes` have the log forget its oldest blocks, behind three kept
    snapshots. This asks as the admin.
    """
    with open_client(url) as client:
        report = client.log()
    if output is OutputFormat.JSON:
        show_json(report)
    else:
        _show_log(report)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("history", epilog=_HISTORY_EXAMPLES)(history)
    app.command("diff", epilog=_DIFF_EXAMPLES)(diff)
    app.command("log", epilog=examples("flux log", "flux log -o json"))(log)


_HISTORY_EXAMPLES: Final = examples(
    "flux history home/lamp --limit 10",
    "flux history home/lamp --since 2030-01-31T08:00:00Z --until 2030-01-31T09:00:00Z -o json",
)
_DIFF_EXAMPLES: Final = examples(
    "flux diff home/lamp --from 2030-01-31T08:00:00Z",
    "flux diff home/lamp --from 0.17.0 --to 0.42.3 -o json",
)


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[_Change]:
    """Return the properties that differ, sorted by name, each with what it was and what it is."""
    changes: list[_Change] = []
    for name in sorted(old.keys() | new.keys()):
        if name not in new:
            changes.append({"property": name, "change": "removed", "from": old[name]})
        elif name not in old:
            changes.append({"property": name, "change": "added", "to": new[name]})
        elif not _is_same(old[name], new[name]):
            changes.append({"property": name, "change": "changed", "from": old[name], "to": new[name]})
    return changes


def _is_same(old: object, new: object) -> bool:
    """Whether two values are the same JSON: to Python, true is 1."""
    import msgspec

    return msgspec.json.encode(old, order="deterministic") == msgspec.json.encode(new, order="deterministic")


def _noting(parts: Iterator[HistoryPart], ends: list[str | None]) -> Iterator[list[dict[str, Any]]]:
    for part in parts:
        ends.append(part.complete_since)
        yield part.events


def _entity_at(client: FluxClient, entity_id: str, at: str | None) -> EntityBody | None:
    try:
        return client.get(entity_id, at=at)
    except Refused as refused:
        if refused.status != _NOT_FOUND:
            raise
        return None


def _properties(entity: EntityBody | None) -> dict[str, Any]:
    return {} if entity is None else entity.properties


def _show_changes(
    entity_id: str, old: EntityBody | None, new: EntityBody | None, changes: list[_Change]
) -> None:
    if old is None and new is None:
        say(f"{entity_id} existed at neither moment")
    elif not changes and (old is None) == (new is None):
        say(f"nothing changed in {entity_id}")
    else:
        title = f"{entity_id}, {_since_when(old)} → {_since_when(new)}"
        table = new_table("", "property", "from", "to", title=title)
        for change in changes:
            sign = {"added": "+", "removed": "-", "changed": "~"}[change["change"]]
            values = [value_text(change[name]) if name in change else "" for name in ("from", "to")]
            table.add_row(*as_texts(sign, change["property"], *values))
        show_table(table)


def _since_when(entity: EntityBody | None) -> str:
    return "absent" if entity is None else entity.last_updated


def _show_log(report: Mapping[str, Any]) -> None:
    table = new_table(*_LOG_COLUMNS, caption=_bounds_text(report))
    for row in report["partitions"]:
        if "error" in row:
            table.add_row(*as_texts(str(row["partition"]), row["error"]))
            continue
        places = [_place_text(row[name]) for name in ("first", "last")]
        kept = str(row["snapshots"]), _place_text(row["oldest_snapshot"]), str(row["trim_keeps_from"])
        sizes = str(row["partition"]), str(row["blocks"]), _size_text(row["bytes"])
        table.add_row(*as_texts(*sizes, *places, *kept))
    show_table(table)


def _place_text(place: Mapping[str, Any] | None) -> str:
    return "none" if place is None else f"{place['sequence']} of {place['time'] or 'an unknown time'}"


def _bounds_text(report: Mapping[str, Any]) -> str:
    age_s, size = report["max_age_seconds"], report["max_bytes"]
    bounds = [] if age_s is None else [f"what is older than {age_s} s"]
    bounds += [] if size is None else [f"what is more than {_size_text(size)} in all"]
    return f"forgotten: {' and '.join(bounds)}" if bounds else "nothing is forgotten"


def _size_text(size: float) -> str:
    """Return e.g. `12.3 MB`."""
    unit = 0
    while size >= 1_000 and unit < len(_UNITS) - 1:
        size, unit = size / 1_000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{size} B"
