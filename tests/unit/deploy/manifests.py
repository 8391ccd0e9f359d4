"""The files of cluster/deploy, read as those read them who are given them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml
from ray.scripts.scripts import start

REPO: Final = Path(__file__).parents[3]
DEPLOY: Final = REPO / "cluster" / "deploy"
KUBERNETES: Final = DEPLOY / "kubernetes"
COMPOSE: Final = DEPLOY / "compose"
_UNITS: Final = {"": 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}


def documents(path: Path) -> list[dict[str, Any]]:
    """Return the documents of a YAML file."""
    return list(yaml.safe_load_all(path.read_text()))


def one(path: Path, kind: str) -> dict[str, Any]:
    """Return the only document of a kind."""
    (found,) = [document for document in documents(path) if document["kind"] == kind]
    return found


def pods_of_rayservice() -> dict[str, dict[str, Any]]:
    """Return the pod templates of the head and of each group of workers."""
    cluster = one(KUBERNETES / "rayservice.yaml", "RayService")["spec"]["rayClusterConfig"]
    workers = {group["groupName"]: group["template"] for group in cluster["workerGroupSpecs"]}
    return {"head": cluster["headGroupSpec"]["template"], **workers}


def bytes_of(quantity: str) -> int:
    """Return how many bytes Kubernetes or Docker take a quantity for."""
    number, unit = re.fullmatch(r"(\d+)([A-Za-z]*)", quantity).groups()
    return int(number) * _UNITS[unit]


def idle_megabytes() -> dict[str, int]:
    """Return the footprint of each part as docs/performance.md has it, from the row that was measured."""
    text = (REPO / "docs" / "performance.md").read_text()
    (row,) = [line for line in text.splitlines() if line.startswith("| idle-memory") and "supervisor" in line]
    return {name: int(size) for name, size in re.findall(r"([A-Z]?[a-z][A-Za-z ]*?) (\d+) MB", row)}


def parsed_ray_start(arguments: list[str]) -> dict[str, Any]:
    """Return what `ray start` understands of its arguments; raises what it would end with."""
    with start.make_context("start", list(arguments)) as context:
        return context.params
