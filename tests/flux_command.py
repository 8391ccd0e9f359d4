"""`flux` as a user runs it, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Final

import msgspec

from tests.conftest import clean_environment

_COMMAND_S: Final = 180


def run_flux(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a command, which is to answer in JSON, with more in its environment."""
    return subprocess.run(
        [sys.executable, "-m", "flux_actors", *arguments, "-o", "json"],
        env=clean_environment() | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=_COMMAND_S,
    )


def flux_json(*arguments: str, **environment: str) -> Any:
    """Run a command that must succeed, and return what it answers."""
    done = run_flux(*arguments, **environment)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode(done.stdout)
