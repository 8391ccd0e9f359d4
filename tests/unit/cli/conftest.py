"""A small Flux for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from flux_actors.cli.main import app
from tests.unit.cli.commands import Run
from tests.unit.client.contract_server import ContractServer, contract_server


@pytest.fixture
def flux() -> Iterator[ContractServer]:
    with contract_server() as server:
        yield server


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests out of them."""
    for name in ("FLUX_URL", "FLUX_TOKEN", "FLUX_ADMIN_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture
def run(flux: ContractServer) -> Run:
    """Run a command and return its result; the URL comes from the environment."""

    def run_command(*arguments: str, stdin: str | bytes | None = None, **environment: str) -> Any:
        return CliRunner().invoke(app, arguments, input=stdin, env={"FLUX_URL": flux.url} | environment)

    return run_command
