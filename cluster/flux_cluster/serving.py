"""Flux as an application that Ray Serve deploys by itself: `serve deploy`, a KubeRay RayService.

`build` takes the settings as arguments of the Serve config (`flux serve-config` writes one from flux.yaml);
variables of the node that builds it win over them, and a file that `FLUX_CONFIG` names there lies below. Such
a Flux has no supervisor and no launcher: its doors start the router (`flux_actors/router/founding.py`), its
log is a NATS that somebody else runs, and deleting the application takes all of it down.

`serve build flux_cluster.serving:app` works as well: then everything comes from the nodes' environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray

from flux_actors.errors import Refused
from flux_actors.log.connection import NatsAccess
from flux_actors.router.founding import plan_of
from flux_actors.settings import Settings
from flux_actors.settings_file import VARIABLE, SettingsFile, read_settings_file
from flux_actors.settings_loading import load_settings
from flux_api.deployment import application
from flux_api.door_count import go_by_nodes, nodes_of_cluster

OWNER = "the application that Ray Serve deployed"


def build(arguments: dict[str, Any]) -> Any:
    """Return the application; `arguments` are settings, as in flux.yaml.

    Raises:
        Refused: they do not fit, or lack what such an application needs.
    """
    settings = settings_of(arguments, os.environ)
    joined = ray.is_initialized()
    nodes = nodes_of_cluster() if joined else []
    # Another cluster may be on the same log, such as the one that this takes over from.
    site = ray.get_runtime_context().get_session_name() if joined else ""
    return application(
        settings,
        NatsAccess.of_settings(settings, site),
        on_nodes=go_by_nodes(nodes, asked=settings.door_resource),
        plan=plan_of(settings, OWNER, time.time_ns() // 1_000),
    )


def settings_of(arguments: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return the settings of an application that stands by itself.

    Raises:
        Refused: they do not fit, name no NATS, or a folder that is another one in each process.
    """
    named = environment.get(VARIABLE)
    files = [read_settings_file(Path(named))] if named else []
    settings = load_settings({}, environment, *files, SettingsFile(arguments))
    if settings.nats_url is None:
        raise Refused("an application that Serve deploys needs a NATS of its own: set nats_url")
    for name, place in (("data", settings.data), ("snapshots", settings.snapshots)):
        if place is not None and not _is_one_place(str(place)):
            raise Refused(
                f"set `{name}` to an absolute path: the processes have working folders of their own"
            )
    return settings


def _is_one_place(place: str) -> bool:
    """Whether all processes mean the same by it, wherever they stand."""
    return "://" in place or Path(place).is_absolute()


def __getattr__(name: str) -> Any:
    """Build `app` when Serve asks for it, and not before."""
    if name == "app":
        return build({})
    raise AttributeError(name)
