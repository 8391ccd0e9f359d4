"""Running the sessions that documents show: each `console` block, in one shell, its output compared."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

from tests.busy import busy

ROOT = Path(__file__).parents[2]
_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_TIMEOUT_S = 90.0
# How far a long command is: on a slow machine, or a large log, it says so.
_PROGRESS = re.compile(r"(partition \d+: (block \d+ of \d+, .*|snapshot \d+)|read \d+ of \d+ files)\n")

# Before who types these has done so, what was written is visible: choosing what to delete waits for it.
_TYPED = re.compile(r"flux\.sh (get|list) ")
_SETTLE = 'curl -s -o /dev/null localhost:3000/api/state/entities/delete -d \'{"prefix": "no-such"}\' || true'


def sessions_of(document: Path) -> list[tuple[str, str]]:
    """Return the commands of a document with the output that it shows."""
    found: list[tuple[str, str]] = []
    for block in _BLOCK.findall(document.read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            more = next((n for n, line in enumerate(lines[1:], 1) if not _goes_on(line)), len(lines))
            command = lines[0] + "".join(line[2:] or "\n" for line in lines[1:more])
            found.append((command, "".join(lines[more:])))
    return found


def _goes_on(line: str) -> bool:
    """Whether a line is more of the command before it."""
    return line.startswith("> ") or line == ">\n"


def _patiently(command: str) -> str:
    """Return the command as somebody in front of a busy machine types it."""
    longer = busy()
    command = re.sub(r"(?<=sleep )[\d.]+", lambda seconds: f"{float(seconds[0]) * longer:.1f}", command)
    return f"{_SETTLE}\n{command}" if _TYPED.search(command) else command


def assert_true(document: Path, flux: Any, **environment: str) -> int:
    """Run a document's sessions against `flux`, compare what they print, and return how many they are."""
    told = sessions_of(document)
    mark = uuid.uuid4().hex
    script = "".join(f"{_patiently(command)}\nprintf '\\n%s %s\\n' {mark} $?\n" for command, _ in told)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    path = f"{Path(sys.executable).parent}:{plain['PATH']}"
    data = str(flux.data.absolute())
    done = subprocess.run(
        ["/bin/bash", "-c", script.replace("localhost:3000", f"127.0.0.1:{flux.port}")],
        cwd=ROOT,
        env=plain | {"FLUX_URL": flux.url, "FLUX_DATA": data, "PATH": path, "COLUMNS": "120"} | environment,
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    outputs = re.split(rf"\n{mark} 0\n", done.stdout)
    for (command, expected), output in zip(told, outputs, strict=False):
        pattern = re.escape(expected.strip()).replace("…", '[^"\n]+')
        assert re.fullmatch(pattern, output.strip()), (command, output, done.stderr)
    faults = _PROGRESS.sub("", done.stderr)
    assert (len(outputs), faults) == (len(told) + 1, ""), f"{faults}\n{done.stdout}"
    return len(told)
