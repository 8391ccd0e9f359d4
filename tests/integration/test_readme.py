"""Sessions of documents run as they stand: each `console` block against a real Flux, output compared."""

from __future__ import annotations

import os
import re
import signal
import subprocess

import httpx
import pytest

from flux_cluster.data_folder import DataFolder
from flux_cluster.ports import free_ports, is_free
from flux_cluster.processes import of_run
from tests.integration.sessions import ROOT, assert_true, sessions_of

pytestmark = pytest.mark.real
WITH_TOKENS = {"tenants.md"}  # is run by test_tenants
LONG = {"backup.md"}  # folds the whole log of the shared Flux
DOCUMENTS = ["README.md"] + [
    pytest.param(f"docs/{file.name}", marks=pytest.mark.long if file.name in LONG else ())
    for file in sorted((ROOT / "docs").glob("*.md"))
    if sessions_of(file) and file.name not in WITH_TOKENS
]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_sessions_of_a_document_tell_the_truth(flux, document):
    commands = "".join(command for command, _ in sessions_of(ROOT / document))
    spaces = set(re.findall(r"""(?:"entity_id": "|publish |publish\(")(\w+)/""", commands))
    assert spaces

    with httpx.Client(base_url=flux.url) as client:
        for namespace in spaces:
            body = {"namespace": namespace}
            client.post("/api/state/entities/delete?wait=applied", json=body).raise_for_status()
    assert assert_true(ROOT / document, flux, FLUX_DATA=str(flux.data)) >= 3


def test_every_path_and_setting_that_the_readme_names_exists():
    text = (ROOT / "README.md").read_text()
    for target in re.findall(r"\]\(([^)]+)\)", text):
        assert (ROOT / target).exists(), target
    from flux_actors.settings import Settings  # noqa: PLC0415 - after the fast checks

    named = set(re.findall(r"`FLUX_([A-Z_]+)`", text)) - {"URL", "TOKEN", "CA"}
    assert named == {name.upper() for name in Settings.model_fields} - {"TRACES"}  # OTEL_* variables set it


def test_every_test_that_the_security_review_names_exists():
    text = (ROOT / "docs" / "security.md").read_text()
    named = re.findall(r"`((?:unit/|api/|chaos/)?[a-z_/]*test_[a-z_]+)`", text)
    assert len(named) > 50
    for name in named:
        place = ROOT / "tests" / (name if name.startswith(("unit/", "chaos/")) else f"integration/{name}")
        assert place.with_suffix(".py").exists(), name


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
