"""flux.yaml as it is read: its values, the line of each, and what is no settings file."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux_actors.errors import Refused
from flux_actors.settings_file import SettingsFile, find_settings_file, read_settings_file


@pytest.fixture
def written(tmp_path: Path):
    """Write a file and read it as settings."""

    def written(text: str | bytes) -> SettingsFile:
        path = tmp_path / "flux.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_settings_file(path)

    return written


def test_it_says_values_and_where_they_stand(written, tmp_path) -> None:
    file = written("# a comment\npartitions: 8\n\nnats_url: [nats://a:1, nats://b:1]\nport:\n")
    assert file.values == {
        "partitions": 8,
        "nats_url": ["nats://a:1", "nats://b:1"],
    }  # an empty one says nothing
    assert file.place("nats_url") == f"{tmp_path}/flux.yaml, line 4"
    assert file.folder == tmp_path


@pytest.mark.parametrize("text", ["", "# nothing\n", "---\n"])
def test_a_file_may_say_nothing(written, text: str) -> None:
    assert written(text).values == {}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("partitions: 8\nport: [1\n", r"flux\.yaml, line 3: this is no YAML"),
        ("a: b: c\n", r"line 1: this is no YAML"),
        ("- partitions\n", "must be a mapping"),
        ("8\n", "must be a mapping"),
        ("port: 1\nshards: 2\nport: 3\n", r"line 3: `port` is there twice, first in line 1"),
        ("1: 2\n", r"line 1: a key must be the name of a setting"),
        ("? [a]\n: 2\n", r"line 1: a key must be the name of a setting"),
        ("yes: 2\n", r"line 1: a key must be the name of a setting"),
        ("port: !!python/object:os.system {}\n", r"line 1: this is no YAML"),
        ("a: &x [*x]\nb: *y\n", r"line 2: this is no YAML"),
        (b"port: \xff\n", "it is no text"),
        ("port: \x07\n", "is no YAML"),
        ("port: 1\n" * 200_000, "too long for a settings file"),
    ],
    ids=range(13),
)
def test_what_is_no_settings_file_is_refused_with_its_place(written, text, told: str) -> None:
    with pytest.raises(Refused, match=told):
        written(text)


def test_the_one_that_was_asked_for_comes_before_that_of_the_environment_and_of_the_folder(
    tmp_path, monkeypatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_settings_file(None, {}) is None
    for name, port in (("flux.yaml", 1), ("named.yaml", 2), ("asked.yaml", 3)):
        (tmp_path / name).write_text(f"port: {port}\n")
    environment = {"FLUX_CONFIG": "named.yaml"}
    found = [
        find_settings_file(None, {}),
        find_settings_file(None, {"FLUX_CONFIG": ""}),
        find_settings_file(None, environment),
        find_settings_file(Path("asked.yaml"), environment),
    ]
    assert [file.values["port"] for file in found if file is not None] == [1, 1, 2, 3]


@pytest.mark.parametrize("asked", ["none.yaml", "."])
def test_one_that_was_asked_for_must_be_there(tmp_path, monkeypatch, asked: str) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Refused, match="cannot be read"):
        find_settings_file(Path(asked), {})
    with pytest.raises(Refused, match="cannot be read"):
        find_settings_file(None, {"FLUX_CONFIG": asked})


def test_arguments_of_an_application_have_no_lines() -> None:
    assert SettingsFile({"port": 1}).place("port") == "the arguments of the application"
