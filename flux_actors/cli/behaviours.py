"""`flux behaviours`: what code has entities act."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flux_actors.cli.joining import Data, join_flux
from flux_actors.cli.options import Output, OutputFormat, examples
from flux_actors.cli.output import as_texts, new_table, say, show, show_json, show_table
from flux_actors.errors import Refused

if TYPE_CHECKING:
    from flux_actors.domain.acting.catalogue import Deployed, Version

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="The behaviour, as `flux behaviours list` names it.")
]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    behaviours = typer.Typer(
        no_args_is_help=True,
        rich_markup_mode=None,
        help="Code that has entities act. These commands join the Ray cluster of the Flux, so they run on "
        "one of its machines; they need FLUX_ADMIN_TOKEN where the Flux has one.",
        epilog=examples(
            "flux behaviours deploy my_pkg.home:Thermostat",
            "flux behaviours deploy my_pkg.home:Thermostat --canary home/hall",
            "flux behaviours promote Thermostat",
            "flux behaviours rollback Thermostat",
        ),
    )
    behaviours.command("deploy")(deploy)
    behaviours.command("list")(list_behaviours)
    behaviours.command("promote")(promote)
    behaviours.command("rollback")(rollback)
    behaviours.command("remove")(remove)
    behaviours.command("resume")(resume)
    app.add_typer(behaviours, name="behaviours")


def deploy(
    place: Annotated[
        str, typer.Argument(metavar="MODULE:CLASS", help="The class, importable from the current folder.")
    ],
    name: Annotated[str | None, typer.Option(help="Its name; default that of the class.")] = None,
    canary: Annotated[
        str | None, typer.Option(metavar="PREFIX", help="For ids that begin so alone, until it is promoted.")
    ] = None,
    runtime_env: Annotated[
        Path | None, typer.Option(metavar="FILE.json", help="Ray's runtime_env for its handlers, as JSON.")
    ] = None,
    data: Data = None,
    output: Output = OutputFormat.TABLE,
) -> None:
    """Have entities act as a class says, from now on; the same again changes nothing.

    Its module, and others that are no installed packages, travel with it. It is loaded on the cluster before
    it is deployed.
    """
    from flux_actors.native import deploying

    cls, environment = _class_of(place), _environment_of(runtime_env)
    join_flux(data)
    version = deploying.deploy(cls, name=name, canary=canary, runtime_env=environment)
    name = name or cls.__name__
    where = f"for ids beginning with {canary}" if canary is not None else f"for {', '.join(version.match)}"
    show(_facts(version), output, f"{name} is version {version.number} {where}")


def list_behaviours(data: Data = None, output: Output = OutputFormat.TABLE) -> None:
    """List what is deployed."""
    from flux_actors.native import deploying

    join_flux(data)
    found = deploying.behaviours()
    if output is OutputFormat.JSON:
        show_json([_row(one) for one in found])
        return
    table = new_table("behaviour", "version", "match", "placement", "canary", "stopped", "earlier")
    for one in found:
        row = _row(one)
        tried = "" if one.canary is None else f"{one.canary.number} for {one.canary_prefix}"
        shown = one.stable or one.canary
        match = "" if shown is None else ", ".join(shown.match)
        version = "" if one.stable is None else str(one.stable.number)
        table.add_row(
            *as_texts(one.name, version, match, _placement(shown), tried, "stopped" if one.stopped else ""),
            *as_texts(", ".join(map(str, row["earlier"]))),
        )
    show_table(table)


def promote(name: Name, data: Data = None, output: Output = OutputFormat.TABLE) -> None:
    """Have the canary of a behaviour hold for all entities that it matches."""
    from flux_actors.native import deploying

    join_flux(data)
    _show(deploying.promote(name), output)


def rollback(name: Name, data: Data = None, output: Output = OutputFormat.TABLE) -> None:
    """End the canary of a behaviour, or go back to the version before."""
    from flux_actors.native import deploying

    join_flux(data)
    _show(deploying.rollback(name), output)


def resume(name: Name, data: Data = None, output: Output = OutputFormat.TABLE) -> None:
    """Start a behaviour again that a fault has stopped for all its entities."""
    from flux_actors.native import deploying

    join_flux(data)
    _show(deploying.resume(name), output)


def remove(name: Name, data: Data = None) -> None:
    """Take a behaviour away: its entities stay as they are, and act no longer."""
    from flux_actors.native import deploying

    join_flux(data)
    deploying.remove(name)
    say(f"{name} is deployed no longer")


def _class_of(place: str) -> Any:
    """Return the class that `module:Class` names, imported from the current folder or what is installed."""
    module_name, colon, attribute = place.partition(":")
    if not (module_name and colon and attribute):
        raise Refused(f"{place!r} must be MODULE:CLASS, such as my_pkg.home:Thermostat")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = import_module(module_name)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(f"{error.name}."):
            raise Refused(
                f"there is no module {module_name} in {Path.cwd()}, nor installed; run this in the folder "
                "that holds it"
            ) from None
        raise Refused(f"{module_name} cannot be imported: {type(error).__name__}: {error}") from error
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise Refused(f"{module_name} has no {attribute}")
        found = getattr(found, part)
    return found


def _environment_of(file: Path | None) -> dict[str, Any] | None:
    import msgspec

    if file is None:
        return None
    try:
        found: dict[str, Any] = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
    except OSError as error:
        raise Refused(f"{file} cannot be read ({error.strerror})") from None
    except msgspec.DecodeError as error:
        raise Refused(f'{file} must hold a JSON object such as {{"pip":["numpy"]}}: {error}') from None
    return found


def _show(one: Deployed, output: OutputFormat) -> None:
    if one.stable is None and one.canary is None:
        show(_row(one), output, f"{one.name} is deployed no longer")
        return
    stable = "no version" if one.stable is None else f"version {one.stable.number}"
    tried = "" if one.canary is None else f", and version {one.canary.number} for {one.canary_prefix}"
    show(_row(one), output, f"{one.name} has {stable} in force{tried}")


def _row(one: Deployed) -> dict[str, Any]:
    return {
        "name": one.name,
        "stable": None if one.stable is None else _facts(one.stable),
        "canary": None if one.canary is None else _facts(one.canary) | {"prefix": one.canary_prefix},
        "stopped": one.stopped,
        "earlier": [version.number for version in one.earlier],
    }


def _facts(version: Version) -> dict[str, Any]:
    from msgspec.structs import asdict

    from flux_actors.domain.clock import iso_of

    return {
        "number": version.number,
        "digest": version.digest,
        "match": version.match,
        "handles": version.handles,
        "placement": "hosted" if version.dedicated is None else asdict(version.dedicated),
        "supervision": asdict(version.supervision),
        "bounds": asdict(version.bounds),
        "deployed": iso_of(version.deployed_us),
    }


def _placement(version: Version | None) -> str:
    return "dedicated" if version is not None and version.dedicated is not None else "hosted"
