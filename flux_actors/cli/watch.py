"""`flux watch`: entities as they change, live in a table or as one JSON line per message."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flux_actors.cli.options import OutputFormat, Url, authorities, examples, token
from flux_actors.cli.output import as_texts, new_table, properties_text, value_text, warn
from flux_actors.client import DEFAULT_URL
from flux_actors.domain.pattern import names

if TYPE_CHECKING:
    from rich.table import Table

_REFRESH_PER_S: Final = 4
_FRAME_ROWS: Final = 4  # heading, caption and room around the table
_HIDDEN: Final = frozenset({"connected", "resumed", "metrics_update"})  # about the watch, not the world


class WatchFormat(StrEnum):
    """What a change is told as."""

    UPDATE = "update"
    DELTA = "delta"


PatternsArgument = Annotated[
    list[str] | None,
    typer.Argument(metavar="PATTERN", help="An id, 'namespace/*' or '*'.", show_default="*"),
]
WhereOption = Annotated[
    str | None,
    typer.Option(metavar="CONDITION", help="Only while this holds of them.", show_default=False),
]
FieldsOption = Annotated[
    str | None, typer.Option(metavar="NAME,…", help="Only these properties.", show_default=False)
]
PositionOption = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="POSITION",
        help="First what happened behind this Flux-Position, instead of the state.",
        show_default=False,
    ),
]
InitialOption = Annotated[
    bool | None,
    typer.Option("--initial/--no-initial", help="First the state.", show_default="unless --from"),
]
FormOption = Annotated[
    WatchFormat,
    typer.Option("--format", help="A message per property, or one per event with its position."),
]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Stop after so many messages.")]
MetricsOption = Annotated[bool, typer.Option("--metrics", help="With -o json: the server's figures too.")]
OutputOption = Annotated[
    OutputFormat | None,
    typer.Option("-o", "--output", show_default="table on a terminal, else json"),
]


def watch(
    patterns: PatternsArgument = None,
    where: WhereOption = None,
    fields: FieldsOption = None,
    position: PositionOption = None,
    initial: InitialOption = None,
    form: FormOption = WatchFormat.UPDATE,
    limit: LimitOption = None,
    metrics: MetricsOption = False,
    url: Url = DEFAULT_URL,
    output: OutputOption = None,
) -> None:
    """Watch entities live, until Ctrl-C.

    On a terminal it keeps a table, with what has just changed in bold; else, or with -o json, it prints
    one JSON line per message: first each entity's state, then every change. When the connection breaks it
    comes back by itself and goes on where it was.
    """
    from flux_actors.client.following import Wish
    from flux_actors.client.watch import Watcher

    table = output is OutputFormat.TABLE or (output is None and sys.stdout.isatty())
    wish = Wish(
        tuple(patterns or ["*"]),
        where,
        tuple(fields.split(",")) if fields is not None else (),
        position,
        position is None if initial is None else initial,
        form is WatchFormat.DELTA,
    )
    with suppress(KeyboardInterrupt):
        watcher = Watcher(url, wish, token(), authorities=authorities())
        messages = _until(watcher, limit)
        if table:
            _show_live(messages)
        else:
            _print_lines(messages, _HIDDEN - {"metrics_update"} if metrics else _HIDDEN)


class World:
    """The entities of one watch as the messages tell them; two threads may use it at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entities: dict[str, dict[str, Any]] = {}  # the one that changed last comes last
        self._times: dict[str, str] = {}
        self._fresh: set[str] = set()  # changed since the last drawing
        self._state = "connecting"
        self._rate = 0.0

    def apply(self, message: Mapping[str, Any]) -> None:
        """Take one message of a watcher."""
        with self._lock:
            self._apply(message)

    def draw(self, rows_max: int) -> Table:
        """Return the entities sorted by id; if they are too many, those that changed last."""
        with self._lock:
            newest = list(self._entities)[-rows_max:]
            table = new_table(
                "entity", "properties", "changed", caption=self._caption(len(newest)), live=True
            )
            for entity_id in sorted(newest):
                cells = entity_id, properties_text(self._entities[entity_id]), self._times[entity_id]
                table.add_row(*as_texts(*cells), style="bold" if entity_id in self._fresh else None)
            self._fresh.clear()
        return table

    def _apply(self, message: Mapping[str, Any]) -> None:
        match message:
            case {"type": "metrics_update", "events": {"rate_per_second": rate}}:
                self._rate = rate
            case {"type": "state", "entity": {"id": entity_id, "properties": properties} as entity}:
                self._entities.pop(entity_id, None)
                self._change(entity_id, properties, entity.get("lastUpdated"))
            case {"type": "delta", "entity_id": entity_id, "properties": properties}:
                self._change(entity_id, properties, message.get("timestamp"))
            case {"type": "state_update", "entity_id": entity_id, "property": name, "value": value}:
                self._change(entity_id, {name: value}, message.get("timestamp"))
            case {"type": "entity_deleted" | "left", "entity_id": entity_id}:
                self._remove(entity_id)
            case _:
                self._apply_of_watch(message)

    def _apply_of_watch(self, message: Mapping[str, Any]) -> None:
        """Take a message about the watch itself; there may be others of a newer server."""
        match message:
            case {"type": "connected"}:
                self._state = "connected"
                self._forget("*")
            case {"type": "resumed"}:
                self._state = "connected"
            case {"type": "resync", "entity_id": pattern}:
                self._forget(pattern)
            case {"type": "disconnected", "error": error}:
                self._state = f"{error}; trying again"
            case _:
                pass

    def _change(self, entity_id: str, properties: Mapping[str, Any], time: object) -> None:
        self._entities[entity_id] = {**self._entities.pop(entity_id, {}), **properties}
        self._times[entity_id] = _time_of_day(time)
        self._fresh.add(entity_id)

    def _forget(self, pattern: str) -> None:
        for entity_id in [one for one in self._entities if names(pattern, one)]:
            self._remove(entity_id)

    def _remove(self, entity_id: str) -> None:
        self._entities.pop(entity_id, None)
        self._times.pop(entity_id, None)

    def _caption(self, shown: int) -> str:
        known = len(self._entities)
        count = (
            f"entities: {known}" if shown == known else f"entities: {known}, of which {shown} changed last"
        )
        return f"{count} – events/s: {self._rate:.0f} – {self._state}"


def register(app: typer.Typer) -> None:
    """Add the command of this file."""
    app.command("watch", epilog=_EXAMPLES)(watch)


_EXAMPLES: Final = examples(
    "flux watch 'demo/*'",
    "flux watch home/lamp home/heater",
    "flux watch 'fleet/*' --where 'battery.level < 0.2' --fields battery",
    "flux watch '*' -o json | jq -c 'select(.type==\"entity_deleted\")'",
)


def _until(messages: Iterable[Mapping[str, Any]], limit: int | None) -> Iterator[Mapping[str, Any]]:
    """Yield messages until `limit` of them were about entities."""
    left = limit or 0
    for message in messages:
        yield message
        left -= message.get("type") not in {*_HIDDEN, "disconnected"}
        if left == 0 and limit:
            return


def _show_live(messages: Iterable[Mapping[str, Any]]) -> None:
    """Keep a table of the world on the terminal."""
    from rich.console import Console
    from rich.live import Live

    world, console = World(), Console()

    def draw() -> Table:
        return world.draw(max(1, console.height - _FRAME_ROWS))

    with Live(get_renderable=draw, console=console, refresh_per_second=_REFRESH_PER_S):
        for message in messages:
            world.apply(message)


def _print_lines(messages: Iterable[Mapping[str, Any]], hidden: frozenset[str]) -> None:
    """Print each message as one JSON line; what is about the connection goes to standard error."""
    import msgspec

    for message in messages:
        kind = message.get("type")
        if kind == "disconnected":
            warn(f"flux: {message['error']}; trying again in {message['retry_in_s']} s")
        elif kind not in hidden:
            typer.echo(msgspec.json.encode(message).decode())  # typer.echo flushes every line


def _time_of_day(time: object) -> str:
    """Return the time of an ISO 8601 text without its day and zone; anything else as it is."""
    return time[11:23] if isinstance(time, str) and time[10:11] == "T" else value_text(time)
