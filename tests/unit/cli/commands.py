"""Running `flux` in tests, and what its answers look like."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Run = Callable[..., Any]


def answer_of(result: Any) -> Any:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return json.loads(result.stdout)


def assert_refused(result: Any, message: str) -> None:
    """One sentence on standard error, and nothing like a traceback."""
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("flux: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


@contextmanager
def started(*arguments: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
    """Run `flux` in a process of its own, ended by its pid at the latest here."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flux_actors", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
