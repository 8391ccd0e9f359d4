"""`flux up`, `flux down`, `flux status`, `flux serve-config`: starting, stopping and looking at a Flux."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from flux_actors.cli.options import settings_of
from flux_actors.errors import Refused, Unavailable

if TYPE_CHECKING:
    import ssl

    from flux_actors.settings import Settings
    from flux_cluster.data_folder import DataFolder

_DETACH_S: Final = 180.0
_DOWN_S: Final = 120.0
_POLL_S: Final = 0.1
_TOPOLOGY: Final = ("partitions", "shards", "doors")

DataOption = Annotated[
    Path | None, typer.Option("--data", help="Data folder; default ./flux-data or FLUX_DATA.")
]
ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file; default FLUX_CONFIG, or flux.yaml in this folder."),
]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Ask this door; default the one that `flux up` has started.")
]
OutputOption = Annotated[str, typer.Option("--output", "-o", help="`table` or `json`.")]
HostOption = Annotated[str | None, typer.Option(help="Address to listen on; default 127.0.0.1.")]
PortOption = Annotated[int | None, typer.Option(help="Port to listen on; default 3000.")]
PartitionsOption = Annotated[int | None, typer.Option(help="Partitions of a new log; default 4, then fixed.")]
ShardsOption = Annotated[int | None, typer.Option(help="Shard actors that share the partitions; default 1.")]
MemoryBytesOption = Annotated[
    int | None,
    typer.Option(help="Bytes of entities a shard keeps in memory, the rest on disk; default all."),
]
LogMaxAgeOption = Annotated[
    str | None,
    typer.Option(
        metavar="30d", help="Forget events that are older, behind three kept snapshots; default none."
    ),
]
LogMaxBytesOption = Annotated[
    str | None,
    typer.Option(
        metavar="10GB",
        help="About what the log may take in all, each partition an equal share: the oldest events are "
        "forgotten, behind three kept snapshots; default all stay.",
    ),
]
DoorsOption = Annotated[int | None, typer.Option(help="Door replicas; default one for two cores.")]
NatsUrlOption = Annotated[str | None, typer.Option(help="Use this NATS server instead of the embedded one.")]
TlsCertOption = Annotated[
    Path | None, typer.Option(help="Certificate chain in PEM: the doors speak HTTPS and WSS alone.")
]
TlsKeyOption = Annotated[
    Path | None, typer.Option(help="Private key of the certificate in PEM, without a passphrase.")
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Return when Flux is ready and leave it running.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command()(up)
    app.command()(down)
    app.command()(status)
    app.command("serve-config")(serve_config)


def up(
    host: HostOption = None,
    port: PortOption = None,
    data: DataOption = None,
    partitions: PartitionsOption = None,
    shards: ShardsOption = None,
    memory_bytes: MemoryBytesOption = None,
    log_max_age: LogMaxAgeOption = None,
    log_max_bytes: LogMaxBytesOption = None,
    doors: DoorsOption = None,
    nats_url: NatsUrlOption = None,
    tls_cert: TlsCertOption = None,
    tls_key: TlsKeyOption = None,
    config: ConfigOption = None,
    detach: DetachOption = False,
) -> None:
    """Start Flux here and keep it running; Ctrl-C stops it.

    Everything is also settable as FLUX_* (for example FLUX_PORT), and in flux.yaml, which the other two win
    over. With RAY_ADDRESS set, Flux joins that Ray cluster instead of starting its own; so it does as the
    entrypoint of a Ray job. What Flux writes is for the user it runs as alone.

    Example: flux up --port 3000 --data ./flux-data
    """
    from flux_cluster.supervisor import Supervisor

    given = {
        "host": host,
        "port": port,
        "data": data,
        "partitions": partitions,
        "shards": shards,
        "memory_bytes": memory_bytes,
        "log_max_age": log_max_age,
        "log_max_bytes": log_max_bytes,
        "doors": doors,
        "nats_url": nats_url,
        "tls_cert": tls_cert,
        "tls_key": tls_key,
    }
    settings = settings_of(given, config)
    os.umask(0o077)  # also of all that is started from here
    if detach:
        _up_detached(settings)
    else:
        Supervisor(settings, _say).run()


def down(data: DataOption = None, config: ConfigOption = None) -> None:
    """Stop the Flux that runs on a data folder.

    Example: flux down --data ./flux-data
    """
    from flux_cluster.supervisor import down as stop

    folder = _folder(data, config)
    if stop(folder, _DOWN_S):
        _say(f"Flux on {folder.root} has stopped")
    else:
        _say(f"no Flux runs on {folder.root}")


def status(
    data: DataOption = None,
    config: ConfigOption = None,
    url: UrlOption = None,
    output: OutputOption = "table",
) -> None:
    """Show what runs, where, by which settings file, and how far each partition is.

    With --url it asks a door that `flux up` did not start here, such as one of a RayService.

    Example: flux status -o json
    """
    facts = _of_a_door(url) if url is not None else _of_a_run(_folder(data, config))
    if output == "json":
        typer.echo(json.dumps(facts))
    else:
        _print_status(facts)


def serve_config(config: ConfigOption = None) -> None:
    """Print the config by which Ray Serve deploys Flux, from flux.yaml and FLUX_*.

    It holds no secret. A KubeRay RayService has it under serveConfigV2.

    Example: flux serve-config > serve.yaml && serve deploy serve.yaml
    """
    from flux_cluster.serve_config import serve_config as written

    typer.echo(written(settings_of({}, config, read_secrets=False)), nl=False)


def _folder(data: Path | None, config: Path | None) -> DataFolder:
    from flux_cluster.data_folder import DataFolder

    return DataFolder(settings_of({"data": data}, config, read_secrets=False).data)


def _of_a_run(folder: DataFolder) -> dict[str, Any]:
    """Return what runs on a data folder.

    Raises:
        Refused: nothing does. Unavailable: it does not answer.
    """
    from flux_actors.tls import trust_in

    run = folder.run()
    if run is None:
        raise Refused(f"no Flux runs on {folder.root}; start it with `flux up`, or name a door with --url")
    return {
        "url": run.url,
        "config": run.config or None,
        "serve": run.serve_url,
        "pid": run.pid,
        "nats": run.nats_url,
        "ray": run.ray_address,
        "ray_logs": f"{run.ray_folder}/ray/session_latest/logs" if run.ray_folder else None,
        **_fetch(run.url, trust_in(Path(run.tls_cert)) if run.tls_cert else True),
        "asked": _asked(Path(run.config)) if run.config else {},
    }


def _asked(config: Path) -> dict[str, int]:
    """Return what of the topology the settings file says by now; a start makes it so."""
    from flux_actors.settings_file import read_settings_file

    return {name: number for name, number in read_settings_file(config).values.items() if name in _TOPOLOGY}


def _of_a_door(url: str) -> dict[str, Any]:
    from flux_actors.cli.options import authorities
    from flux_actors.tls import trust_in_authorities

    return {"url": url, **_fetch(url.rstrip("/"), trust_in_authorities(authorities()))}


def _fetch(url: str, trusted: ssl.SSLContext | bool) -> dict[str, Any]:
    import httpx

    token = os.environ.get("FLUX_ADMIN_TOKEN")
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        answer = httpx.get(f"{url}/api/status", headers=headers, timeout=5, verify=trusted)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"Flux at {url} does not answer ({type(error).__name__}); is it still starting?"
        ) from None
    if answer.status_code != httpx.codes.OK:
        if answer.status_code == httpx.codes.UNAUTHORIZED:
            raise Refused("this Flux has tokens on; set FLUX_ADMIN_TOKEN to see its status")
        raise Unavailable(f"Flux at {url} answers {answer.status_code}")
    facts: dict[str, Any] = answer.json()
    return facts


def _print_status(facts: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    supervisor = f" (supervisor pid {facts['pid']})" if "pid" in facts else ""
    console.print(f"Flux {facts['version']} at {facts['url']}{supervisor}")
    shards = len({part["shard"] for part in facts["partitions"]})
    runs = {"partitions": len(facts["partitions"]), "shards": shards, "doors": facts["doors"]}
    console.print("   ".join(f"{name} {number}" for name, number in runs.items()))
    asked = facts.get("asked", {})
    others = [f"{name} {asked[name]}" for name in _TOPOLOGY if asked.get(name, runs[name]) != runs[name]]
    if others:
        console.print(f"{facts['config']} asks for {', '.join(others)}", markup=False, soft_wrap=True)
    places = {"settings": "config", "Serve": "serve", "Ray": "ray", "NATS": "nats"}
    told = [f"{word} {facts[name]}" for word, name in places.items() if facts.get(name)]
    if told:
        console.print("   ".join(told), markup=False, soft_wrap=True)
    names = ("partition", "shard", "phase", "sequence", "pending", "events", "entities")
    table = Table("#", *names[1:])
    for part in facts["partitions"]:
        table.add_row(*(str(part[name]) for name in names))
    console.print(table)
    for part in facts["partitions"]:
        if part["error"]:
            console.print(f"partition {part['partition']} has stopped: {part['error']}", markup=False)
        if part["cold"]:
            console.print(f"partition {part['partition']} keeps {part['cold']} entities on disk")
        if part["poison"]:
            console.print(f"partition {part['partition']} has set {part['poison']} unreadable events aside")


def _up_detached(settings: Settings) -> None:
    """Start `flux up` in the background and wait until it is ready or has failed."""
    from flux_cluster.data_folder import DataFolder

    settings.certificate()
    folder = DataFolder(settings.data)
    folder.open()  # the same clear refusals as in the foreground, told at once
    folder.close()
    log = folder.logs / "flux.log"
    arguments = [argument for argument in sys.argv[1:] if argument != "--detach"]
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "flux_actors", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    deadline = time.monotonic() + _DETACH_S
    while time.monotonic() < deadline:
        run = folder.run()
        if run is not None and run.ready and run.pid == process.pid:
            _say(f"Flux is at {run.url} (pid {run.pid}; stop it with `flux down --data {folder.root}`)")
            return
        if process.poll() is not None:
            lines = log.read_text(errors="replace").strip().splitlines()
            raise Unavailable(lines[-1] if lines else f"flux up ended with code {process.returncode}")
        time.sleep(_POLL_S)
    raise Unavailable(f"Flux was not ready within {_DETACH_S:.0f} s; see {log}")


def _say(text: str) -> None:
    typer.echo(text)
    sys.stdout.flush()
