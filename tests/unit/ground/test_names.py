"""What users import stands at the top by its name, and costs nothing until it is used."""

from __future__ import annotations

import subprocess
import sys

import pytest

import flux_actors


@pytest.mark.parametrize("name", flux_actors.__all__)
def test_every_name_is_there(name: str) -> None:
    assert getattr(flux_actors, name).__name__.rpartition(".")[2] == name
    assert name in dir(flux_actors)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        flux_actors.nonsense  # noqa: B018 - looking is what raises


def test_importing_it_loads_neither_ray_nor_nats() -> None:
    code = "import flux_actors, sys; print({'ray', 'nats', 'msgspec'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
