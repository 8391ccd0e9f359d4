"""Pickle is read in two places, and nothing of a client ever gets there.

One is the supervisor's own pipe. The other is the code of behaviours: that is what an admin has deployed to
be run, so reading it gives nobody more than he has.
"""

from __future__ import annotations

import ast
from pathlib import Path

ROOT = Path(__file__).parents[3]
LOADERS = {"pickle", "cloudpickle", "marshal", "shelve", "dill", "joblib"}
ALLOWED = {
    "cluster/flux_cluster/launch.py",
    "cluster/flux_cluster/launcher.py",
    "flux_actors/behaviour/code.py",
}


def imported_by(path: Path) -> set[str]:
    """Return the packages that a module imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add((node.module or "").partition(".")[0])
    return names


def called_in(path: Path) -> set[str]:
    """Return the bare names that a module calls."""
    tree = ast.parse(path.read_text())
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return {call.id for call in calls if isinstance(call, ast.Name)}


def modules() -> list[Path]:
    found = [path for name in ("flux_actors", "api", "cluster") for path in (ROOT / name).rglob("*.py")]
    assert len(found) > 100
    return found


def test_only_the_launcher_its_supervisor_and_code_know_pickle() -> None:
    users = {str(path.relative_to(ROOT)) for path in modules() if imported_by(path) & LOADERS}
    assert users == ALLOWED


def test_yaml_is_read_by_the_loader_that_makes_no_objects() -> None:
    users = {path for path in modules() if "yaml" in imported_by(path)}
    assert {path.name for path in users} == {"serve_config.py", "settings_file.py", "world.py"}
    for path in users:
        nodes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)]
        used = {node.attr for node in nodes if isinstance(node.value, ast.Name) and node.value.id == "yaml"}
        assert not {name for name in used if "load" in name.lower()} - {"SafeLoader"}, path


def test_nothing_evaluates_text() -> None:
    assert not [path for path in modules() if called_in(path) & {"eval", "exec", "compile", "__import__"}]
