"""Which connectors there are, and that one of another package takes nothing else with it."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

from flux_actors.connectors.base import Connector
from flux_actors.connectors.catalogue import GROUP, Catalogue
from flux_actors.errors import Corrupt


class Weather(Connector):
    """A connector of another package."""


class Failing(Connector):
    """One that cannot be made."""

    def __init__(self) -> None:
        raise RuntimeError("no")


@pytest.fixture(autouse=True)
def package(monkeypatch):
    """A package with a connector."""
    package = ModuleType("weather_package")
    vars(package).update(Weather=Weather, Failing=Failing, nonsense=lambda: 7)
    monkeypatch.setitem(sys.modules, "weather_package", package)


def catalogue(*pairs: tuple[str, str]) -> Catalogue:
    return Catalogue(lambda: [EntryPoint(name, value, GROUP) for name, value in pairs])


def test_the_four_that_clients_know_come_first_and_others_behind_them():
    assert Catalogue(list).names == ["github", "gmail", "linkedin", "calendar"]
    others = catalogue(("weather", "weather_package:Weather"), ("air", "missing:Air"))
    assert others.names == ["github", "gmail", "linkedin", "calendar", "air", "weather"]


@pytest.mark.parametrize("name", ["github", "gmail", "linkedin", "calendar", "generic"])
def test_our_own_can_be_loaded(name):
    assert isinstance(Catalogue(list).connector(name), Connector)
    assert Catalogue(list).is_built_in(name)


def test_one_of_another_package_is_loaded_when_it_is_asked_for():
    found = catalogue(("weather", "weather_package:Weather"))
    assert isinstance(found.connector("weather"), Weather)
    assert not found.is_built_in("weather")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("missing_package:X", "cannot be loaded .ModuleNotFoundError"),
        ("weather_package:Missing", "cannot be loaded .AttributeError"),
        ("weather_package:Failing", "cannot be loaded .RuntimeError"),
        ("weather_package:nonsense", "is no flux_actors.connectors.base.Connector"),
    ],
)
def test_one_that_cannot_be_loaded_says_so(value, reason):
    with pytest.raises(Corrupt, match=reason):
        catalogue(("weather", value)).connector("weather")


def test_one_that_is_gone_says_so():
    with pytest.raises(Corrupt, match="no installed package has a connector weather"):
        catalogue().connector("weather")


@pytest.mark.parametrize("name", ["github", "generic", "Weather", "a", "we ather", "w" * 40, "a/b", ""])
def test_a_name_that_cannot_be_used_is_left_out_and_told(name, lines):
    assert len(catalogue((name, "weather_package:Weather")).names) == 4
    assert [line["event"] for line in lines] == ["connector.name_refused"]


def test_the_first_of_a_name_counts(lines):
    found = catalogue(("weather", "weather_package:Weather"), ("weather", "missing:X"))
    assert isinstance(found.connector("weather"), Weather)


def test_the_installed_packages_are_asked():
    assert Catalogue().names[:4] == ["github", "gmail", "linkedin", "calendar"]
