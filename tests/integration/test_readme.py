"""README's sessions run as they stand: each `console` block against a real Flux, output compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from flux_cluster.data_folder import DataFolder
from flux_cluster.ports import free_ports, is_free
from flux_cluster.processes import of_run

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def sessions() -> list[tuple[str, str]]:
    """Return the commands of the README with the output that it shows."""
    found: list[tuple[str, str]] = []
    for block in BLOCK.findall((ROOT / "README.md").read_text()):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines(keepends=True)
            more = next((n for n, line in enumerate(lines[1:], 1) if not line.startswith("> ")), len(lines))
            command = lines[0] + "".join(line[2:] for line in lines[1:more])
            found.append((command, "".join(lines[more:])))
    return found


def test_the_sessions_of_the_readme_tell_the_truth(flux):
    with httpx.Client(base_url=flux.url) as client:
        client.post("/api/state/entities/delete?wait=applied", json={"namespace": "home"}).raise_for_status()
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    path = f"{Path(sys.executable).parent}:{plain['PATH']}"
    told = sessions()
    assert len(told) >= 10
    for command, expected in told:
        done = subprocess.run(
            ["/bin/bash", "-c", command.replace("localhost:3000", f"127.0.0.1:{flux.port}")],
            cwd=ROOT,
            env=plain | {"FLUX_URL": flux.url, "PATH": path, "COLUMNS": "120"},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, ""), command
        pattern = re.escape(expected.strip()).replace("…", '[^"\n]+')
        assert re.fullmatch(pattern, done.stdout.strip()), (command, done.stdout)


def test_every_path_and_setting_that_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / target).exists(), target
    from flux_actors.settings import Settings  # noqa: PLC0415 - after the fast checks

    named = set(re.findall(r"`FLUX_([A-Z_]+)`", text)) - {"URL", "TOKEN"}
    assert named - {"ADMIN_TOKEN", "AUTH_ENABLED"} == {name.upper() for name in Settings.model_fields} - {
        *("ADMIN_TOKEN", "AUTH_ENABLED")
    }


def test_scripts_up_says_where_flux_is_and_stops_with_ctrl_c(tmp_path, eventually):
    (port,) = free_ports(1)
    data = tmp_path / "data"
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("FLUX_", "RAY_"))}
    up = subprocess.Popen(
        [str(ROOT / "scripts" / "up"), "--port", str(port), "--data", str(data)],
        env=plain,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert up.stdout is not None
    try:
        lines: list[str] = []
        while f"Flux is at http://localhost:{port} " not in "".join(lines):
            line = up.stdout.readline()
            assert line, "".join(lines)
            lines.append(line)
        assert httpx.get(f"http://localhost:{port}/api/health").status_code == 200
        run = DataFolder(data).run()
        assert run is not None
        os.killpg(up.pid, signal.SIGINT)
        assert up.wait(60) == 0
        assert of_run(run.run_id) == []
        assert is_free("127.0.0.1", port)
    finally:
        up.kill()
        up.stdout.close()
        up.wait()
