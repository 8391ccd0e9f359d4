"""The runtime_env of a behaviour: what its code needs, in words of Ray that hold on every node, later too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from flux_actors.errors import Refused

_LOCAL: Final = ("working_dir", "py_modules")
_PASSING: Final = "gcs://"  # Ray forgets such a package when its last user has gone


def environment_json(runtime_env: Mapping[str, Any] | None) -> bytes:
    """Return a runtime_env as JSON, as Ray reads it; `b""` for none.

    Files that it names, such as requirements.txt, are read now.

    Raises:
        Refused: Ray does not know it, or other nodes, or a later day, would not.
    """
    if not runtime_env:
        return b""
    from ray.runtime_env import RuntimeEnv  # noqa: PLC0415 - a second, which others do not pay

    unknown = sorted(set(map(str, runtime_env)) - RuntimeEnv.known_fields)
    if unknown:
        known = ", ".join(sorted(name for name in RuntimeEnv.known_fields if not name.startswith("_")))
        raise Refused(f"runtime_env has no field {unknown[0][:64]!r}; Ray knows {known}")
    for field in _LOCAL:
        _check_remote(field, runtime_env.get(field))
    try:
        read = RuntimeEnv(**runtime_env).to_dict()
    except (TypeError, ValueError, ImportError) as error:
        raise Refused(f"Ray does not take this runtime_env: {str(error).splitlines()[0]}") from None
    kept = {name: value for name, value in read.items() if not name.startswith("_ray_")}
    try:
        encoded = msgspec.json.encode(kept, order="sorted")
    except (TypeError, ValueError, OverflowError):
        encoded = b"null"
    if msgspec.json.decode(encoded) != kept:
        raise Refused("a runtime_env is stored: it must hold texts, numbers, lists and dicts alone")
    return encoded


def _check_remote(field: str, value: Any) -> None:
    """Raise `Refused` for files that lie on this machine alone."""
    for place in value if isinstance(value, list | tuple) else [value]:
        if place is None:
            continue
        if not isinstance(place, str) or "://" not in place or place.startswith((_PASSING, "file://")):
            raise Refused(
                f"runtime_env {field!r} must name an archive that every node can fetch, such as "
                f"https://…/code.zip or s3://…, not {str(place)[:100]!r}. Modules beside the class travel "
                "with it by themselves, and need no such field"
            )
