"""The settings file, `flux.yaml`: what belongs to a cluster rather than to a shell, and may be kept in Git.

A flat mapping; its keys are the names of `FLUX_*` variables without the prefix, in small letters. It holds no
secret: the key of one is refused, `<key>_file` names a file instead. Paths count from the folder that the
file is in. Whoever reads it keeps the line of every key, so that a fault is told with its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from flux_actors.errors import Refused

NAME: Final = "flux.yaml"
VARIABLE: Final = "FLUX_CONFIG"
_NOTHING: Final = "tag:yaml.org,2002:null"
_BYTES_MAX: Final = 1 << 20  # nobody wrote a longer one by hand


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """What a file says, and where in it."""

    values: Mapping[str, Any]
    path: Path | None = None  # `None`: the arguments of a Serve config
    lines: Mapping[str, int] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """Return where a key stands, in words."""
        name = str(self.path) if self.path is not None else "the arguments of the application"
        return f"{name}, line {self.lines[key]}" if key in self.lines else name

    @property
    def folder(self) -> Path:
        """The folder that its paths count from."""
        return self.path.absolute().parent if self.path is not None else Path()


def find_settings_file(asked: Path | None, environment: Mapping[str, str]) -> SettingsFile | None:
    """Return the file of the option, or of `FLUX_CONFIG`, or else `flux.yaml` of the working folder.

    Raises:
        Refused: one that was asked for is not there, or what is there is no settings file.
    """
    named = asked or (Path(environment[VARIABLE]) if environment.get(VARIABLE) else None)
    if named is not None:
        return read_settings_file(named)
    return read_settings_file(Path(NAME)) if Path(NAME).exists() else None


def read_settings_file(path: Path) -> SettingsFile:
    """Return what a file says.

    Raises:
        Refused: it cannot be read, is no YAML, no mapping, or names a key twice.
    """
    try:
        text = path.read_text("utf-8") if path.stat().st_size <= _BYTES_MAX else None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise Refused(f"the settings file {path} cannot be read ({reason}); check --config") from None
    if text is None:
        raise Refused(f"{path} is too long for a settings file; check --config")
    return _parsed(path, text)


def _parsed(path: Path, text: str) -> SettingsFile:
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:
        raise Refused(f"{path} is no YAML ({str(error).splitlines()[0]})") from None
    try:
        root = loader.get_single_node()
        if root is None or root.tag == _NOTHING:
            return SettingsFile({}, path)
        if not isinstance(root, yaml.MappingNode):
            raise Refused(f"{path} must be a mapping, a line for each setting, such as `partitions: 8`")
        lines = _lines(path, root)
        values: dict[str, Any] = loader.construct_document(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark is not None else 1
        raise Refused(f"{path}, line {line}: this is no YAML ({error.problem})") from None
    except (yaml.YAMLError, ValueError) as error:
        raise Refused(f"{path} is no YAML ({str(error).splitlines()[0]})") from None
    finally:
        loader.dispose()
    return SettingsFile({key: value for key, value in values.items() if value is not None}, path, lines)


def _lines(path: Path, root: yaml.MappingNode) -> dict[str, int]:
    """Return the line of each key; YAML itself would take the last of two in silence."""
    lines: dict[str, int] = {}
    for key, _ in root.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
            raise Refused(f"{path}, line {line}: a key must be the name of a setting")
        if key.value in lines:
            raise Refused(
                f"{path}, line {line}: `{key.value}` is there twice, first in line {lines[key.value]}"
            )
        lines[key.value] = line
    return lines
