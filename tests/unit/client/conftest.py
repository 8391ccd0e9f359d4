"""A small Flux for each test that asks for one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.unit.client.contract_server import ContractServer, contract_server


@pytest.fixture
def flux() -> Iterator[ContractServer]:
    with contract_server() as server:
        yield server
