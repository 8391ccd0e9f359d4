"""`flux behaviours` and `flux ray-env`: what they hand over, and what they say."""

from __future__ import annotations

import json
import sys

import pytest
from typer.testing import CliRunner

from flux_actors.cli.main import app
from flux_actors.domain.acting.catalogue import Dedicated, Deployed, Version
from flux_actors.native import deploying, joining
from tests.unit.cli.commands import answer_of, assert_refused

FIRST = Version(1, "ab" * 32, ["home/*"], ["on_ask"], deployed_us=0)
SECOND = Version(2, "cd" * 32, ["home/fan"], ["on_ask"], dedicated=Dedicated(), deployed_us=1_000_000)
FAN = Deployed("Fan", FIRST, SECOND, "home/f", stopped=True, earlier=[FIRST], numbered=2)
SOURCE = """
import flux_actors as flux

class Fan(flux.Behaviour):
    match = "home/fan"
    def on_ask(self, entity, message):
        return message

class Room:
    class Lamp(Fan):
        pass
"""


@pytest.fixture
def asked(monkeypatch):
    """What was asked of the cluster."""
    asked = []

    def answer(name, found):
        def called(*arguments, **options):
            asked.append((name, *arguments, options))
            return found

        monkeypatch.setattr(deploying, name, called)

    monkeypatch.setattr(joining, "join", lambda data: asked.append(("join", data)))
    for name, found in (
        ("deploy", SECOND),
        ("behaviours", [FAN]),
        ("promote", Deployed("Fan", SECOND)),
        ("rollback", Deployed("Fan")),
        ("resume", FAN),
        ("remove", None),
    ):
        answer(name, found)
    return asked


@pytest.fixture
def run(asked):
    return lambda *arguments: CliRunner().invoke(app, arguments)


@pytest.fixture
def house(tmp_path, monkeypatch):
    """A folder with a module of behaviours, which the command runs in."""
    (tmp_path / "house_of_tests.py").write_text(SOURCE)
    (tmp_path / "broken_in_tests.py").write_text("1 / 0")
    (tmp_path / "lacking_in_tests.py").write_text("import nowhere_at_all_")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    for name in ("house_of_tests", "broken_in_tests", "lacking_in_tests"):
        sys.modules.pop(name, None)


def test_a_class_of_the_current_folder_is_deployed(run, house, asked):
    result = run("behaviours", "deploy", "house_of_tests:Fan", "--data", "there")
    assert result.stdout == "Fan is version 2 for home/fan\n"
    (joined, folder), (_, cls, options) = asked
    assert (joined, str(folder), cls.__name__) == ("join", "there", "Fan")
    assert options == {"name": None, "canary": None, "runtime_env": None}


def test_what_is_wished_for_is_passed_on(run, house, asked):
    (house / "env.json").write_text('{"pip":["numpy"]}')
    wishes = ("--name", "Light", "--canary", "home/l", "--runtime-env", "env.json", "-o", "json")
    facts = answer_of(run("behaviours", "deploy", "house_of_tests:Room.Lamp", *wishes))
    assert (facts["number"], facts["placement"]["num_cpus"]) == (2, 1.0)
    _, cls, options = asked[1]
    assert cls.__name__ == "Lamp"
    assert options == {"name": "Light", "canary": "home/l", "runtime_env": {"pip": ["numpy"]}}


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("house_of_tests", "must be MODULE:CLASS"),
        (":Fan", "must be MODULE:CLASS"),
        ("nowhere.at.all:Fan", "no module nowhere.at.all"),
        ("house_of_tests.inner:Fan", "no module house_of_tests.inner"),
        ("house_of_tests:Fun", "house_of_tests has no Fun"),
        ("broken_in_tests:Fan", "ZeroDivisionError"),
        ("lacking_in_tests:Fan", "nowhere_at_all_"),
    ],
)
def test_what_cannot_be_imported_is_told(run, house, asked, place, words):
    assert_refused(run("behaviours", "deploy", place), words)
    assert asked == []


@pytest.mark.parametrize("content", [None, "[]", "{"])
def test_an_environment_that_is_none_is_told(run, house, content):
    if content is not None:
        (house / "env.json").write_text(content)
    result = run("behaviours", "deploy", "house_of_tests:Fan", "--runtime-env", "env.json")
    assert_refused(result, "env.json")


def test_what_is_deployed_is_listed(run, asked):
    (row,) = answer_of(run("behaviours", "list", "-o", "json"))
    assert (row["name"], row["stable"]["number"], row["canary"]["prefix"]) == ("Fan", 1, "home/f")
    assert (row["stopped"], row["earlier"]) == (True, [1])
    assert row["canary"]["deployed"] == "1970-01-01T00:00:01+00:00"
    shown = run("behaviours", "list").stdout
    for word in ("Fan", "home/*", "hosted", "2 for home/f", "stopped"):
        assert word in shown


def test_changes_are_told(run, asked):
    assert run("behaviours", "promote", "Fan").stdout == "Fan has version 2 in force\n"
    assert run("behaviours", "rollback", "Fan").stdout == "Fan is deployed no longer\n"
    assert run("behaviours", "resume", "Fan").stdout == (
        "Fan has version 1 in force, and version 2 for home/f\n"
    )
    assert run("behaviours", "remove", "Fan").stdout == "Fan is deployed no longer\n"
    assert [one[0] for one in asked] == [
        *("join", "promote", "join", "rollback", "join", "resume", "join", "remove")
    ]


def test_a_shell_is_told_how_to_join(tmp_path):
    folder = tmp_path / "da ta"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps({"ray_address": "127.0.0.1:1", "ray_folder": "/x"}))
    lines = CliRunner().invoke(app, ["ray-env", "--data", str(folder)]).stdout.splitlines()
    assert "export RAY_ADDRESS=127.0.0.1:1" in lines
    assert f"export RAY_AUTH_TOKEN_PATH='{folder}/ray-token'" in lines
    assert_refused(CliRunner().invoke(app, ["ray-env", "--data", str(tmp_path)]), "no Flux runs on")
