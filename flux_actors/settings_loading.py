"""Loading settings: what the command line says, over `FLUX_*` variables, over the settings file.

A fault is told with the place of the value that has it: the variable, or the line of the file.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_args

from pydantic import ValidationError

from flux_actors.errors import Refused
from flux_actors.places.opening import is_url
from flux_actors.settings import DERIVED, PREFIX, SECRETS, Settings, variable
from flux_actors.settings_file import SettingsFile
from flux_actors.tracing.plan import trace_plan

_CLIENT_ONLY: Final = frozenset({"FLUX_URL", "FLUX_TOKEN", "FLUX_CA"})  # read by the command line's clients
_INTERNAL: Final = frozenset({"FLUX_RUN_ID"})  # marks the processes of one run
_SETTABLE: Final = tuple(name for name in Settings.model_fields if name not in DERIVED)
_IN_FILES: Final = tuple(name for name in _SETTABLE if name != "config")
_FILE: Final = "_file"  # ends the names of settings that say where a secret is
_PLACES: Final = frozenset({"snapshots"})  # a folder, or a URL
_FILES: Final = ("tls_cert", "tls_key", "nats_credentials", "nats_ca", "nats_cert", "nats_key")


@dataclass(slots=True)
class _Layered:
    """Values by the name of their setting, and what to call each where it does not fit."""

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def add(self, values: Mapping[str, Any], place: Callable[[str], str]) -> None:
        """Lay values over those that are there; a secret and the name of its file stand for the same.

        Raises:
            Refused: both a secret and its file are given.
        """
        for name in values:
            other = _other_name(name)
            if other in values:
                raise Refused(f"{place(name)}: give either it or {place(other)}, not both")
            self.values.pop(other, None)
        self.values |= values
        self.places |= {name: place(name) for name in values}


def load_settings(
    given: Mapping[str, Any],
    environment: Mapping[str, str],
    *files: SettingsFile,
    read_secrets: bool = True,
) -> Settings:
    """Return the settings: `given` (from the command line, `None` = not given) over `FLUX_*` over the files.

    Arguments:
        given: values by the names of settings.
        environment: variables, of which those of Flux count.
        files: of several the last one wins.
        read_secrets: whether to read the files that secrets stand in, which may be on other machines.

    Raises:
        Refused: a value does not fit, or a variable or a key of the file is not known.
    """
    fields = {variable(name): name for name in _SETTABLE}
    known = fields.keys() | _CLIENT_ONLY | _INTERNAL
    unknown = sorted(name for name in environment if name.startswith(PREFIX) and name not in known)
    if unknown:
        raise Refused(f"unknown setting {unknown[0]}; known are {', '.join(sorted(known - _INTERNAL))}")
    layers = _Layered()
    for file in files:
        layers.add(_of_file(file), _places(file))
    layers.add({fields[name]: value for name, value in environment.items() if name in fields}, variable)
    layers.add({name: value for name, value in given.items() if value is not None}, variable)
    if read_secrets:
        _read_secrets(layers)
    values = layers.values
    values["traces"] = trace_plan(environment)
    values["config"] = next((file.path for file in files if file.path is not None), None)
    # Processes of Ray have working folders of their own.
    values |= {name: Path(values[name]).absolute() for name in _FILES if values.get(name)}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        raise Refused(f"{layers.places.get(name, variable(name))}: {first['msg']}") from None
    _check_together(settings)
    return settings


def _check_together(settings: Settings) -> None:
    """Raise `Refused` for what each setting by itself does not show."""
    _ = settings.encryption_keys  # one that is none is told at the start
    if not settings.github_url.startswith(("https://", "http://")):
        raise Refused("FLUX_GITHUB_URL must begin with https:// (or http://)")
    if "@" in (settings.nats_url or ""):
        raise Refused(
            "put the login of NATS into FLUX_NATS_USER and FLUX_NATS_PASSWORD, or FLUX_NATS_CREDENTIALS, "
            "and not into its URL: others on the machine can read a command line"
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise Refused("TLS needs both --tls-cert and --tls-key (FLUX_TLS_CERT and FLUX_TLS_KEY)")
    if (settings.nats_cert is None) != (settings.nats_key is None):
        raise Refused("a client certificate needs both FLUX_NATS_CERT and FLUX_NATS_KEY")


def _places(file: SettingsFile) -> Callable[[str], str]:
    """Return what tells where a key of a file stands."""
    return lambda key: f"{file.place(key)}: {key}"


def _of_file(file: SettingsFile) -> dict[str, Any]:
    """Return the values of a file, its paths counted from its folder.

    Raises:
        Refused: it has an unknown key, a secret, or a value that no setting can have.
    """
    for key, value in file.values.items():
        if key not in _IN_FILES:
            near = difflib.get_close_matches(key, _IN_FILES, 1)
            hint = f"; do you mean `{near[0]}`?" if near else f"; known are {', '.join(_IN_FILES)}"
            raise Refused(f"{file.place(key)}: there is no setting `{key}`{hint}")
        if key in SECRETS:
            instead = f"name a file that holds it with `{key}{_FILE}`, or " if _has_file(key) else ""
            raise Refused(
                f"{file.place(key)}: `{key}` is a secret and does not belong into this file; {instead}"
                f"set {variable(key)}"
            )
        if isinstance(value, bool) and bool not in _kinds(key):
            raise Refused(f"{file.place(key)}: {key}: this is no yes or no; quote it if it is a text")
    return {key: _from_folder(file.folder, key, value) for key, value in file.values.items()}


def _from_folder(folder: Path, key: str, value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if key in _PLACES and not is_url(value):
        return str(folder / value)
    return folder / value if Path in _kinds(key) else value


def _kinds(key: str) -> tuple[Any, ...]:
    """Return the types that a setting may have."""
    annotation = Settings.model_fields[key].annotation
    return get_args(annotation) or (annotation,)


def _read_secrets(layers: _Layered) -> None:
    """Put secrets that stand in files beside the names of those."""
    for name in SECRETS:
        path = layers.values.get(name + _FILE)
        if path is None:
            continue
        place = layers.places[name + _FILE]
        try:
            text = Path(path).read_text("utf-8").strip()
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise Refused(f"{place}: {path} cannot be read ({reason})") from None
        if not text:
            raise Refused(f"{place}: {path} is empty")
        layers.values[name] = text
        layers.places[name] = place


def _has_file(secret: str) -> bool:
    return secret + _FILE in Settings.model_fields


def _other_name(name: str) -> str:
    return name.removesuffix(_FILE) if name.endswith(_FILE) else name + _FILE
