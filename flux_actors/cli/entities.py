"""Commands on entities: publish, get, list, delete, batch; and the server's health."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flux_actors.cli.options import (
    At,
    Output,
    OutputFormat,
    Url,
    Wait,
    examples,
    milliseconds_of,
    open_client,
)
from flux_actors.cli.output import (
    plain,
    show,
    show_entities,
    show_json,
    show_json_array,
    show_object,
    warn,
)
from flux_actors.client import DEFAULT_URL
from flux_actors.errors import FluxError, Refused

if TYPE_CHECKING:
    from flux_actors.client.answers import BatchAnswer
    from flux_actors.client.http import EventOptions

_BATCH_EVENTS: Final = 1_000  # a request: 1 KiB an event stays far below the server's 10 MiB
_TABLE_ROWS: Final = 1_000

Namespace = Annotated[str | None, typer.Option("--namespace", help="Only ids that begin with NAMESPACE/.")]
Fields = Annotated[
    str | None, typer.Option("--fields", metavar="NAME,…", help="Only these properties of each.")
]
Prefix = Annotated[str | None, typer.Option("--prefix", help="Only ids that begin with this text.")]


def publish(
    entity_id: Annotated[str, typer.Argument(metavar="ID", help="The entity, such as home/lamp.")],
    properties: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="NAME=TEXT|NAME:=JSON|-", help="Its properties; - reads an object from stdin."
        ),
    ] = None,
    json_text: Annotated[str | None, typer.Option("--json", help="The properties as a JSON object.")] = None,
    source: Annotated[str, typer.Option(help="Who says so.")] = "flux-cli",
    stream: Annotated[str, typer.Option(help="The stream: lower-case words with dots.")] = "cli",
    event_id: Annotated[
        str | None, typer.Option(help="The same id again is applied once: makes a retry safe.")
    ] = None,
    if_match: Annotated[
        str | None, typer.Option(metavar="ETAG", help="Only while the entity has this ETag, or position.")
    ] = None,
    if_absent: Annotated[bool, typer.Option("--if-absent", help="Only if there is no entity.")] = False,
    ttl: Annotated[
        str | None, typer.Option(help="The entity ends after that time unless it is renewed, such as 90s.")
    ] = None,
    wait: Wait = False,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Publish an event: set properties of an entity.

    Properties that the event does not name stay as they are.
    """
    wanted = _properties(properties or [], json_text)
    options = _options(event_id, ttl, if_match, if_absent=if_absent)
    options |= {"source": source, "stream": stream}
    with open_client(url) as client:
        answer = client.publish(entity_id, wanted, wait_applied=wait, **options)
    show(answer, output, f"published {entity_id}, event {answer.event_id}")


def get(
    entity_ids: Annotated[list[str], typer.Argument(metavar="ID", help="The entity, such as home/lamp.")],
    at: At = None,
    fields: Fields = None,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Show an entity, or several.

    Fails when one of them does not exist.
    """
    if len(entity_ids) > 1 and (at is not None or fields is not None):
        raise Refused("--at and --fields are for one entity; flux list shows more, with --prefix")
    with open_client(url) as client:
        if len(entity_ids) == 1:
            entity = client.get(entity_ids[0], at=at, fields=_names(fields))
            if output is OutputFormat.JSON:
                show_json(entity)
            else:
                show_object(entity.properties, title=f"{entity.id}, last updated {entity.last_updated}")
            return
        found = client.get_many(entity_ids)
    if output is OutputFormat.JSON:
        show_json_array(found.entities)
    else:
        show_entities(found.entities)
    if found.missing:
        raise Refused(f"Entity not found: {', '.join(found.missing)}", 404)


def list_entities(
    namespace: Namespace = None,
    prefix: Prefix = None,
    where: Annotated[
        str | None, typer.Option("--where", metavar="CONDITION", help="Only those of which this holds.")
    ] = None,
    fields: Fields = None,
    at: At = None,
    count: Annotated[bool, typer.Option("--count", help="Only how many there are.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="At most so many.", show_default="1000 in a table, all as JSON")
    ] = None,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """List entities, sorted by id."""
    with open_client(url) as client:
        if count:
            number = client.count(namespace=namespace, prefix=prefix, where=where, at=at)
            show({"count": number}, output, str(number))
            return
        entities = client.list(namespace=namespace, prefix=prefix, where=where, fields=_names(fields), at=at)
        if output is OutputFormat.JSON:
            show_json_array(islice(entities, limit))
            return
        show_entities(islice(entities, limit or _TABLE_ROWS))
        if limit is None and next(entities, None):
            warn(f"only the first {_TABLE_ROWS}; --limit shows more, -o json all")


def delete(
    entity_ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="The entities, such as home/lamp.")
    ] = None,
    namespace: Namespace = None,
    prefix: Prefix = None,
    wait: Wait = False,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Delete entities, by id, namespace or prefix."""
    if sum(bool(given) for given in (entity_ids, namespace, prefix)) != 1:
        raise Refused("say what to delete: ids, or --namespace, or --prefix, and only one of the three")
    with open_client(url) as client:
        if entity_ids and len(entity_ids) == 1:
            receipt = client.delete(entity_ids[0], wait_applied=wait)
            show(receipt, output, f"deleted {receipt.entity_id}, event {receipt.event_id}")
            return
        answer = client.delete_many(
            namespace=namespace, prefix=prefix, entity_ids=entity_ids or None, wait_applied=wait
        )
    show(answer, output, f"deleted {answer.deleted}, failed {answer.failed}")
    if answer.failed:
        raise Refused(f"{answer.failed} could not be deleted: {answer.errors[:3]}")


def batch(
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="The events; - reads from stdin.")],
    atomic: Annotated[bool, typer.Option("--atomic", help="All of them or none (one namespace).")] = False,
    wait: Wait = False,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Publish many events.

    The file holds {"events": […]}, an array of events, or one event a line. Fails when an event does; its
    neighbours are published all the same.
    """
    events = _events(_read(file))
    size = len(events) if atomic else _BATCH_EVENTS
    answers: list[BatchAnswer] = []
    with open_client(url) as client:
        for part in _parts(events, size):
            try:
                answers.append(client.publish_batch(part, atomic=atomic, wait_applied=wait))
            except FluxError:
                if answers:
                    warn(f"of {len(events)} events the first {len(answers) * size} were sent, then:")
                raise
    _show_batch(answers, output)


def health(url: Url = DEFAULT_URL, output: Output = OutputFormat.TABLE) -> None:
    """Show whether Flux is well.

    Fails when it cannot be reached or is not ready.
    """
    with open_client(url) as client:
        report = client.health()
    if output is OutputFormat.JSON:
        show_json(report)
    else:
        show_object(report)


def register(app: typer.Typer) -> None:
    """Add the commands of this file."""
    app.command("publish", epilog=_PUBLISH_EXAMPLES)(publish)
    app.command("get", epilog=_GET_EXAMPLES)(get)
    app.command("list", epilog=_LIST_EXAMPLES)(list_entities)
    app.command("delete", epilog=_DELETE_EXAMPLES)(delete)
    app.command("batch", epilog=_BATCH_EXAMPLES)(batch)
    app.command("health", epilog=examples("flux health", "flux health -o json"))(health)


_PUBLISH_EXAMPLES: Final = examples(
    "flux publish home/lamp on:=true color=warm",
    'flux publish home/lamp --json \'{"on": true, "level": 80}\'',
    "echo '{\"on\": false}' | flux publish home/lamp -",
)
_GET_EXAMPLES: Final = examples(
    "flux get home/lamp",
    "flux get home/lamp home/heater -o json",
    "flux get home/lamp --at 2030-01-31T08:00:00Z --fields on",
)
_LIST_EXAMPLES: Final = examples(
    "flux list --namespace home",
    "flux list --prefix home/kitchen/ -o json | jq '.[].id'",
    "flux list --where 'status = \"busy\" and battery.level < 0.2' --fields battery",
    "flux list --count",
    "flux list --prefix home/ --at 2030-01-31T08:00:00Z",
)
_DELETE_EXAMPLES: Final = examples(
    "flux delete home/lamp", "flux delete --prefix home/kitchen/", "flux delete --namespace demo"
)
_BATCH_EXAMPLES: Final = examples(
    "flux batch events.json",
    "cat events.ndjson | flux batch -",
    "",
    "An event:",
    '  {"stream": "home", "source": "me", "payload": {"entity_id": "home/lamp", "properties": {"on": true}}}',
)


def _names(fields: str | None) -> list[str] | None:
    return None if fields is None else fields.split(",")


def _options(event_id: str | None, ttl: str | None, if_match: str | None, *, if_absent: bool) -> EventOptions:
    if if_match is not None and if_absent:
        raise Refused("give either --if-match or --if-absent")
    options: EventOptions = {}
    if event_id is not None:
        options["event_id"] = event_id
    if ttl is not None:
        options["ttl_ms"] = milliseconds_of(ttl, "--ttl")
    if if_match is not None or if_absent:
        options["condition"] = {"absent": True} if if_match is None else {"etag": if_match}
    return options


def _properties(assignments: Sequence[str], json_text: str | None) -> dict[str, Any]:
    """Return the properties that the arguments spell; later ones win."""
    properties: dict[str, Any] = {}
    if json_text is not None:
        properties |= _object(json_text.encode(errors="surrogateescape"), "--json")
    for assignment in assignments:
        if assignment == "-":
            properties |= _object(_read("-"), "stdin")
        else:
            properties |= _assigned(assignment)
    if not properties:
        raise Refused("give at least one property, such as on:=true or color=warm")
    return properties


def _assigned(assignment: str) -> dict[str, Any]:
    name, equals, value = assignment.partition("=")
    if not equals or name in {"", ":"}:
        raise Refused(f"{assignment!r} sets nothing; write NAME=TEXT or NAME:=JSON")
    if not name.endswith(":"):
        return {name: value}
    return {name[:-1]: _json(value.encode(errors="surrogateescape"), f"the value of {name[:-1]}")}


def _object(text: bytes, what: str) -> dict[str, Any]:
    value = _json(text, what)
    if not isinstance(value, dict):
        raise Refused(f'{what} must be a JSON object such as {{"on": true}}')
    return value


def _json(text: bytes, what: str) -> Any:
    import msgspec

    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise Refused(f"{what} must be JSON: {plain(str(error))}") from None


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise Refused(f"cannot read {file}: {error.strerror}") from None


def _events(text: bytes) -> list[Any]:
    """Return the events of a batch in any of its three forms."""
    import msgspec

    try:
        content = msgspec.json.decode(text)
    except msgspec.DecodeError:
        lines = [line for line in text.split(b"\n") if line.strip()]
        content = [_json(line, f"line {number}") for number, line in enumerate(lines, 1)]
    match content:
        case {"events": list(events)} | list(events):
            return events
        case dict():
            return [content]
        case _:
            raise Refused('a batch is {"events": […]}, an array of events, or one event a line')


def _parts(events: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    """Yield the events in requests; no events are one empty request, which the server refuses."""
    for start in range(0, max(len(events), 1), max(size, 1)):
        yield events[start : start + size]


def _show_batch(answers: Sequence[BatchAnswer], output: OutputFormat) -> None:
    from flux_actors.client.answers import BatchAnswer

    whole = BatchAnswer(
        sum(answer.successful for answer in answers),
        sum(answer.failed for answer in answers),
        [result for answer in answers for result in answer.results],
        answers[0].position if len(answers) == 1 else None,
    )
    show(whole, output, f"successful {whole.successful}, failed {whole.failed}")
    for number, result in enumerate(whole.results, 1):
        if result.error is not None and output is OutputFormat.TABLE:
            warn(f"event {number} ({result.event_id}): {result.error}")
    if whole.failed:
        raise Refused(f"{whole.failed} of {len(whole.results)} events were not published")
