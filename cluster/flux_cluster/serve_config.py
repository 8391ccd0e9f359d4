"""The Serve config of a Flux, which `serve deploy` takes and a KubeRay RayService holds."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from flux_actors.settings import DERIVED, SECRETS, Settings, variable

_BUILDER: Final = "flux_cluster.serving:build"
_NAME: Final = "flux"
_SERVE_PORT: Final = 8000
_OF_THE_NODE: Final = frozenset({"config"})  # where the file is, which the arguments stand for


def serve_config(settings: Settings) -> str:
    """Return the config as YAML: what was set, without secrets, which come from the nodes."""
    told = _told(settings)
    document = {
        "proxy_location": "EveryNode",
        "http_options": _proxy(settings),
        "applications": [{"name": _NAME, "route_prefix": "/", "import_path": _BUILDER, "args": told}],
    }
    return _head(settings) + yaml.safe_dump(document, sort_keys=False, width=110)


def _proxy(settings: Settings) -> Mapping[str, Any]:
    options: dict[str, Any] = {"host": settings.serve_host, "port": settings.serve_port or _SERVE_PORT}
    if settings.tls:
        options |= {"ssl_certfile": str(settings.tls_cert), "ssl_keyfile": str(settings.tls_key)}
    return options


def _told(settings: Settings) -> dict[str, Any]:
    fields = settings.model_dump(exclude_unset=True, exclude=set(SECRETS | DERIVED | _OF_THE_NODE))
    return {
        name: str(value) if isinstance(value, Path) else value
        for name, value in fields.items()
        if value is not None
    }


def _head(settings: Settings) -> str:
    missing = [
        variable(name)
        for name in sorted(SECRETS)
        if getattr(settings, name) is not None and getattr(settings, f"{name}_file", None) is None
    ]
    lines = ["# Flux as a Serve application; deploy it with `serve deploy <this file>`."]
    if missing:
        lines.append(f"# It holds no secret: give the nodes of the Ray cluster {', '.join(missing)}.")
    return "\n".join(lines) + "\n"
