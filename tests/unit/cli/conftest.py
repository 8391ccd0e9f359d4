"""A small Flux for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

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
