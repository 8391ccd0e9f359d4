"""`flux claim`: one holder of an entity at a time."""

from __future__ import annotations

from typing import Annotated

import typer

from flux_actors.cli.options import Output, OutputFormat, Url, examples, milliseconds_of, open_client
from flux_actors.cli.output import show
from flux_actors.client import DEFAULT_URL


def claim(
    entity_id: Annotated[str, typer.Argument(metavar="ID", help="The entity, such as work/task-7.")],
    holder: Annotated[str, typer.Option("--holder", help="Who works on it.")],
    ttl: Annotated[str, typer.Option("--ttl", help="How long it holds unless it is renewed.")] = "30s",
    token: Annotated[
        int | None, typer.Option("--token", help="That of the claim to renew or release.")
    ] = None,
    release: Annotated[bool, typer.Option("--release", help="Let it go.")] = False,
    url: Url = DEFAULT_URL,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Take a claim on an entity, renew it, or let it go.

    Only one holder has it at a time. The token grows with every new claim: give it along with what you do,
    and whoever is asked to do it can refuse a holder that lost its claim. Fails when somebody else has it.
    """
    from flux_actors.client.claims import Claims

    with open_client(url) as client:
        claims = Claims(client)
        if release:
            released = claims.release(entity_id, holder, token=token)
            text = "released" if released else "was free already:"
            show(
                {"entity_id": entity_id, "holder": holder, "released": released},
                output,
                f"{text} {entity_id}",
            )
            return
        taken = claims.take(entity_id, holder, milliseconds_of(ttl, "--ttl"), token=token)
    words = f"{taken.holder} has {entity_id} until {taken.expires_at}, token {taken.token}"
    show(taken, output, words)


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(
        epilog=examples(
            "flux claim work/task-7 --holder worker-1 --ttl 5m",
            "flux claim work/task-7 --holder worker-1 --release",
        )
    )(claim)
