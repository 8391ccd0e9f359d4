"""`flux backup`, `flux restore`, `flux verify`: for the day when something is lost, and the days before."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flux_actors.cli.options import Output, OutputFormat, examples, settings_of
from flux_actors.cli.output import say, show_json, warn

if TYPE_CHECKING:
    from flux_actors.backup.manifest import Manifest
    from flux_actors.past.comparing import Compared
    from flux_actors.settings import Settings

_MIB = 1 << 20
_Data = Annotated[Path | None, typer.Option("--data", help="Data folder; default ./flux-data or FLUX_DATA.")]
_NatsUrl = Annotated[
    str | None, typer.Option("--nats-url", help="An external NATS server, with its login in FLUX_NATS_*.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(
        epilog=examples(
            "flux backup /mnt/backups/flux",
            "flux backup s3://bucket/flux --data /srv/flux --keep 168",
            "flux backup /mnt/backups/flux --check",
        )
    )(backup)
    app.command(
        epilog=examples(
            "flux restore /mnt/backups/flux --data ./restored",
            "flux restore s3://bucket/flux --data ./yesterday --at 2026-11-29T12:00:00Z",
            "flux restore /mnt/backups/flux --nats-url nats://log:4222 --data ./restored",
        )
    )(restore)
    app.command(epilog=examples("flux verify", "flux verify --data /srv/flux -o json"))(verify)


def backup(
    destination: Annotated[str, typer.Argument(metavar="DEST", help="A folder, or a URL such as s3://…")],
    data: _Data = None,
    nats_url: _NatsUrl = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Take none: read the newest one there, and compare its checksums.")
    ] = False,
    keep: Annotated[
        int | None,
        typer.Option("--keep", min=1, help="Remove what only older backups need; default all stay."),
    ] = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Back up a Flux, running or stopped: its log, snapshots, namespaces, config and code of behaviours.

    A second backup to the same place adds what is new; one that was interrupted is gone on with. Nothing
    is backed up until the manifest is written, which is the last thing. The place gets all that Flux
    knows: tokens are in it as hashes, credentials of connectors as they are sealed, all else is readable.
    """
    from flux_cluster.backups import back_up, check

    _begin()
    manifest = (
        check(destination, warn)
        if only_check
        else back_up(_settings(data, nats_url), destination, keep, warn)
    )
    _show_backup(manifest, "verified" if only_check else "backed up", output)


def restore(
    origin: Annotated[str, typer.Argument(metavar="SRC", help="Where the backup is: a folder or a URL.")],
    data: Annotated[
        Path, typer.Option("--data", help="A new data folder; with --nats-url for the snapshots alone.")
    ],
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="TIME", help="Everything up to an RFC 3339 time, and nothing later."),
    ] = None,
    nats_url: _NatsUrl = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Restore a backup into an empty data folder, or into an empty NATS: the same log at the same positions.

    Then start it with `flux up` and the settings that the old one had, its FLUX_ENCRYPTION_KEY among them.
    """
    from flux_actors.domain.clock import iso_of, us_of
    from flux_cluster.backups import restore_from

    _begin()
    restored = restore_from(
        _settings(data, nats_url), origin, None if at is None else us_of(at, "--at"), warn
    )
    if output is OutputFormat.JSON:
        show_json(
            {
                "backup": iso_of(restored.began_us),
                "blocks": restored.blocks,
                "ends": restored.ends,
                "until": iso_of(restored.clock_us),
            }
        )
    else:
        until = f" up to {iso_of(restored.clock_us)}" if restored.clock_us else ""
        say(
            f"restored {restored.blocks} blocks in {len(restored.ends)} partitions{until}, "
            f"from the backup of {iso_of(restored.began_us)}"
        )


def verify(data: _Data = None, output: Output = OutputFormat.TABLE) -> None:
    """Fold the log again and compare with what the shards have, while they go on; exit 1 on a difference.

    Needs about as much memory as the entities of one partition, on a machine of the Flux.
    """
    from flux_actors.cli.joining import join_flux
    from flux_cluster.verifying import verify as compare

    _begin()
    settings = _settings(data, None)
    cluster_is_named = data is None and "RAY_ADDRESS" in os.environ  # else the data folder says where it is
    join_flux(None if cluster_is_named else settings.data)
    found = compare(settings, warn)
    if output is OutputFormat.JSON:
        show_json([_facts(one) for one in found])
    else:
        for one in found:
            say(_sentence(one))
    if not all(one.same for one in found):
        raise typer.Exit(1)


def _begin() -> None:
    """Have what is written be for this user alone, and what is logged not stand in the answer."""
    from flux_actors.logs import set_up_logs

    os.umask(0o077)
    set_up_logs(sys.stderr)


def _settings(data: Path | None, nats_url: str | None) -> Settings:
    return settings_of({"data": data, "nats_url": nats_url})


def _show_backup(manifest: Manifest, verb: str, output: OutputFormat) -> None:
    files = manifest.files()
    size = sum(facts.size_bytes for facts in files)
    blocks = sum(part.last - part.first + 1 for part in manifest.parts)
    if output is OutputFormat.JSON:
        show_json(
            {
                "manifest": manifest.name,
                "log": manifest.log_id,
                "files": len(files),
                "bytes": size,
                "blocks": blocks,
                "partitions": [
                    {"partition": part.partition, "first": part.first, "last": part.last}
                    for part in manifest.parts
                ],
            }
        )
    else:
        say(
            f"{verb} {blocks} blocks in {len(manifest.parts)} partitions: "
            f"{len(files)} files, {size / _MIB:.1f} MiB"
        )


def _facts(one: Compared) -> dict[str, Any]:
    return {"same": one.same, **one._asdict()}


def _sentence(one: Compared) -> str:
    since = f"from its snapshot at {one.since}" if one.since else "from its beginning"
    where = f"partition {one.partition} at block {one.sequence}"
    if one.same:
        left_out = f"; {one.left_out} left out, whose reducer waits for an order" if one.left_out else ""
        return f"{where}: {one.entities} entities are what the log says {since}{left_out}"
    parts = []
    if one.buckets_different:
        named = ", ".join(one.entities_different) or "none that still does"
        parts.append(f"at least {one.buckets_different} entities, such as {named}")
    parts += one.different
    return f"{where} DIFFERS from what the log says {since}: {'; '.join(parts)}"
