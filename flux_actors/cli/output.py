"""What commands print: tables for people, JSON for programs, sentences on standard error.

Text from the server is shown and never obeyed: no markup is read from it, and control characters, which
could drive the terminal, are written as escapes.
"""

from __future__ import annotations

import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import typer

from flux_actors.cli.options import OutputFormat

if TYPE_CHECKING:
    from rich.table import Table

    from flux_actors.domain.entity import EntityBody


def say(text: str) -> None:
    """Print a sentence for people."""
    typer.echo(plain(text))


def warn(text: str) -> None:
    """Print a sentence on standard error."""
    typer.echo(plain(text), err=True)


def show_json(value: object) -> None:
    """Print one JSON text; on a terminal it is laid out, else it is one line."""
    import msgspec

    encoded = msgspec.json.encode(value)
    typer.echo((msgspec.json.format(encoded) if sys.stdout.isatty() else encoded).decode())


def show_json_array(values: Iterable[object]) -> None:
    """Print a JSON array, one value a line, while the values arrive."""
    import msgspec

    separator = "[\n"
    for value in values:
        typer.echo(separator + msgspec.json.encode(value).decode(), nl=False)
        separator = ",\n"
    typer.echo("[]" if separator == "[\n" else "\n]")


def show_entities(entities: Iterable[EntityBody]) -> None:
    """Print a table of entities."""
    table = new_table("entity", "properties", "last updated")
    for entity in entities:
        table.add_row(*as_texts(entity.id, properties_text(entity.properties), entity.last_updated))
    show_table(table)


def show_object(value: Mapping[str, Any], title: str | None = None) -> None:
    """Print a table of names and values."""
    table = new_table("name", "value", title=title)
    for name, item in value.items():
        table.add_row(*as_texts(name, value_text(item)))
    show_table(table)


def show_events(events: Sequence[Mapping[str, Any]]) -> None:
    """Print a table of raw events."""
    from datetime import UTC, datetime

    table = new_table("time", "source", "stream", "event", "properties")
    for event in events:
        time = datetime.fromtimestamp(event["timestamp"] / 1000, UTC).isoformat(timespec="milliseconds")
        properties = event["payload"].get("properties") or {}
        row = time, event["source"], event["stream"], event["eventId"], properties_text(properties)
        table.add_row(*as_texts(*row))
    show_table(table)


def show(value: Any, output: OutputFormat, sentence: str) -> None:
    """Print a value as JSON, or the sentence that tells it."""
    if output is OutputFormat.JSON:
        show_json(value)
    else:
        say(sentence)


def new_table(
    *columns: str, title: str | None = None, caption: str | None = None, live: bool = False
) -> Table:
    """Return an empty table; its cells are folded, in a live one each row is one line of the screen."""
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=None if title is None else Text(plain(title)),
        caption=None if caption is None else Text(plain(caption)),
        caption_justify="left",
        box=None,
        pad_edge=False,
        expand=live,
    )
    for column in columns:
        overflow: Literal["ellipsis", "fold"] = "ellipsis" if live else "fold"
        table.add_column(column, overflow=overflow, no_wrap=live, header_style="bold")
    return table


def show_table(table: Table) -> None:
    """Print a table to standard output."""
    from rich.console import Console

    Console().print(table)


def as_texts(*cells: str) -> list[Any]:
    """Return the cells as rich takes them, with nothing in them left to interpret."""
    from rich.text import Text

    return [Text(plain(cell)) for cell in cells]


def properties_text(properties: Mapping[str, Any]) -> str:
    """Return properties on one line, sorted by name."""
    return "  ".join(f"{name}={value_text(properties[name])}" for name in sorted(properties))


def value_text(value: object) -> str:
    """Return a value as people read it: text without quotes, everything else as JSON."""
    import msgspec

    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def plain(text: str) -> str:
    """Return the text with control characters written as escapes."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode() if unicodedata.category(char) in {"Cc", "Cs"} else char
        for char in text
    )
