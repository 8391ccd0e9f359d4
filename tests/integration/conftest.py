"""Fluxes of two doors and two shards that several modules share: a start takes as long as many tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.conftest import RunningFlux, makers

ADMIN_TOKEN = "the-admins-own"


@pytest.fixture(scope="session")
def make_shared_flux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., RunningFlux]]:
    """Make a Flux that the tests of several modules share."""
    yield from makers(tmp_path_factory.mktemp("shared"))


@pytest.fixture(scope="session")
def twins(make_shared_flux: Callable[..., RunningFlux]) -> Any:
    """Two doors and two shards; tests may kill any of it, and leave its configuration as it was."""
    flux = make_shared_flux(["--doors", "2", "--shards", "2"])
    flux.start()
    return flux


@pytest.fixture(scope="session")
def guarded_twins(make_shared_flux: Callable[..., RunningFlux]) -> Any:
    """The same, where tokens are asked for; that of the admin is `ADMIN_TOKEN`."""
    environment = {"FLUX_AUTH_ENABLED": "true", "FLUX_ADMIN_TOKEN": ADMIN_TOKEN}
    flux = make_shared_flux(["--doors", "2", "--shards", "2"], environment)
    flux.start()
    return flux
