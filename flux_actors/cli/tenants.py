"""`flux namespace` and `flux token`: whose entities are whose."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from flux_actors.cli.options import Output, OutputFormat, Url, examples, open_client
from flux_actors.cli.output import as_texts, new_table, say, show_json, show_table
from flux_actors.client import DEFAULT_URL

Name = Annotated[str, typer.Argument(metavar="NAME", help="The namespace, such as building-7.")]


class ScopeName(StrEnum):
    """What a token is for."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    options = {"no_args_is_help": True, "rich_markup_mode": None}
    namespaces = typer.Typer(
        **options,  # type: ignore[arg-type]
        help="Namespaces of a server with tokens on; most of it needs FLUX_ADMIN_TOKEN.",
        epilog=examples("flux namespace create building-7 --private", "flux namespace list"),
    )
    namespaces.command("create")(create)
    namespaces.command("list")(list_namespaces)
    namespaces.command("show")(show_namespace)
    namespaces.command("delete")(delete)
    app.add_typer(namespaces, name="namespace")
    tokens = typer.Typer(
        **options,  # type: ignore[arg-type]
        help="Tokens of a namespace; needs FLUX_ADMIN_TOKEN, or one of its tokens with the scope admin.",
        epilog=examples(
            "flux token create building-7 --scope write --prefix building-7/kitchen/",
            "flux token rotate building-7",
        ),
    )
    tokens.command("create")(make_token)
    tokens.command("list")(list_tokens)
    tokens.command("rotate")(rotate)
    tokens.command("revoke")(revoke)
    app.add_typer(tokens, name="token")


def create(
    name: Name,
    private: Annotated[
        bool, typer.Option("--private", help="Those without its token read nothing of it.")
    ] = False,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make a namespace and print its main token, which nobody is told again."""
    from flux_actors.client.tenants import Tenants

    with open_client(url) as client:
        made = Tenants(client).register(name, private=private)
    if output is OutputFormat.JSON:
        show_json(made)
    else:
        say(made.token)


def list_namespaces(url: Url = DEFAULT_URL, output: Output = OutputFormat.TABLE) -> None:
    """Show all namespaces and how many entities each has."""
    from flux_actors.client.tenants import Tenants

    with open_client(url) as client:
        found = Tenants(client).all()
    if output is OutputFormat.JSON:
        show_json(found)
        return
    table = new_table("namespace", "entities", "created")
    for facts in found:
        table.add_row(*as_texts(facts.name, str(facts.entity_count), facts.created_at))
    show_table(table)


def show_namespace(name: Name, url: Url = DEFAULT_URL, output: Output = OutputFormat.TABLE) -> None:
    """Show one namespace."""
    from flux_actors.client.tenants import Tenants

    with open_client(url) as client:
        facts = Tenants(client).get(name)
    if output is OutputFormat.JSON:
        show_json(facts)
    else:
        say(f"{facts.name}: {facts.entity_count} entities, since {facts.created_at}")


def delete(
    name: Name,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = DEFAULT_URL,
) -> None:
    """End a namespace: its tokens, all its entities, and its claim to the name."""
    from flux_actors.client.tenants import Tenants

    if not yes:
        typer.confirm(f"Delete {name} and all its entities?", abort=True)
    with open_client(url) as client:
        Tenants(client).delete(name)
    say(f"{name} is gone")


def make_token(
    name: Name,
    scope: Annotated[list[ScopeName], typer.Option("--scope", help="read, write or admin; may be repeated.")],
    prefix: Annotated[
        str | None, typer.Option(help="Good for ids that begin so alone, such as building-7/kitchen/.")
    ] = None,
    expires: Annotated[
        str | None, typer.Option(help="Until when, such as 2031-01-31T12:00:00Z; for ever if left out.")
    ] = None,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Make a token and print it; nobody is told again."""
    from flux_actors.client.tenants import Tenants

    with open_client(url) as client:
        made = Tenants(client).make_token(name, [str(one) for one in scope], prefix, expires)
    if output is OutputFormat.JSON:
        show_json(made)
    else:
        say(made.token)


def list_tokens(name: Name, url: Url = DEFAULT_URL, output: Output = OutputFormat.TABLE) -> None:
    """Show what is known of a namespace's tokens: all but what makes them good."""
    from flux_actors.client.tenants import Tenants

    with open_client(url) as client:
        found = Tenants(client).tokens(name)
    if output is OutputFormat.JSON:
        show_json(found)
        return
    table = new_table("id", "scopes", "ids", "expires", "created")
    for facts in found:
        scopes = "main" if facts.main else " ".join(facts.scopes)
        ids = f"{facts.prefix or name + '/'}…"
        table.add_row(*as_texts(facts.id, scopes, ids, facts.expires_at or "never", facts.created_at))
    show_table(table)


def rotate(name: Name, url: Url = DEFAULT_URL, output: Output = OutputFormat.TABLE) -> None:
    """Make a new main token in the place of the old one, and print it."""
    from flux_actors.client.tenants import Tenants

    with open_client(url) as client:
        made = Tenants(client).rotate(name)
    if output is OutputFormat.JSON:
        show_json(made)
    else:
        say(made.token)


def revoke(
    name: Name,
    token_id: Annotated[
        str, typer.Argument(metavar="TOKEN_ID", help="The part of a token between its two first “_”.")
    ],
    url: Url = DEFAULT_URL,
) -> None:
    """Take a token back."""
    from flux_actors.client.tenants import Tenants

    with open_client(url) as client:
        Tenants(client).revoke(name, token_id)
    say(f"{token_id} is revoked")
