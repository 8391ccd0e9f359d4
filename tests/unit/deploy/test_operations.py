"""docs/operations.md: its commands are those of the programs, its names those of the manifests."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import ray.scripts.scripts
import ray.serve.scripts
import typer.main
import yaml

from flux_actors.cli.main import app
from flux_actors.settings_file import SettingsFile
from flux_actors.settings_loading import load_settings
from tests.unit.deploy.manifests import DEPLOY, KUBERNETES, REPO, documents

DOCUMENT = REPO / "docs" / "operations.md"
TEXT = DOCUMENT.read_text()
PROGRAMS = {
    "flux": typer.main.get_command(app),
    "ray": ray.scripts.scripts.cli,
    "serve": ray.serve.scripts.cli,
}
BLOCKS = re.findall(r"```sh\n(.*?)```", TEXT, re.DOTALL)
LINES = [line for block in BLOCKS for line in block.splitlines()]
INLINE = [line for line in re.findall(r"`(flux [a-z][^`]*)`", TEXT) if "…" not in line]


def words_of(line: str) -> list[str]:
    """Return the words of a command, without variables before it and what its output goes to."""
    words = shlex.split(line)
    while "=" in words[0]:
        words = words[1:]
    return words[: words.index(">")] if ">" in words else words


def understand(words: list[str]) -> None:
    """Have a program take its command line, as far as options and arguments go.

    Raises:
        Misunderstood: with what the program would say. Typer has a click of its own, so names are compared.
    """
    command, arguments = PROGRAMS[words[0]], words[1:]
    try:
        while hasattr(command, "resolve_command"):
            with command.make_context(words[0], arguments, resilient_parsing=True) as context:
                _, command, arguments = command.resolve_command(context, arguments)
        command.make_context(words[0], list(arguments)).close()
    except Exception as error:
        alone = type(error).__name__ in {"MissingParameter", "NoArgsIsHelpError"} and not arguments
        if not alone:  # the document may name a command without what it takes
            raise Misunderstood(f"{type(error).__name__}: {error}") from error


class Misunderstood(Exception):
    """A program does not take a command line."""


@pytest.mark.parametrize("line", [line for line in LINES if words_of(line)[0] in PROGRAMS], ids=str)
def test_a_command_of_a_block_is_one_of_its_program(line: str) -> None:
    understand(words_of(line))


@pytest.mark.parametrize("line", sorted(set(INLINE)), ids=str)
def test_a_command_within_a_sentence_is_one_too(line: str) -> None:
    understand([word for word in words_of(line) if word != "--at"])


def test_a_mistake_would_be_found() -> None:
    with pytest.raises(Misunderstood):
        understand(["flux", "status", "--no-such-option"])
    with pytest.raises(Misunderstood):
        understand(["flux", "frobnicate"])


def test_its_settings_are_settings() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    settings = load_settings({}, {}, SettingsFile(yaml.safe_load(block)), read_secrets=False)
    assert settings.log_replicas == 3


def test_what_kubectl_is_told_is_in_the_manifests() -> None:
    known = {
        f"{document['kind'].lower()}/{document['metadata']['name']}"
        for file in ("nats.yaml", "rayservice.yaml")
        for document in documents(KUBERNETES / file)
    }
    named = set(re.findall(r"((?:statefulset|rayservice|service)/[a-z-]+)", "\n".join(LINES)))
    assert named <= known
    text = "".join((KUBERNETES / file).read_text() for file in ("nats.yaml", "rayservice.yaml"))
    for label in re.findall(r"app\.kubernetes\.io/name=([a-z-]+)", TEXT):
        assert f"app.kubernetes.io/name: {label}" in text
    for secret in ("flux-secrets", "flux-nats-tls", "flux-snapshots"):
        assert secret in TEXT
        assert secret in text


def test_its_links_lead_somewhere() -> None:
    for target in set(re.findall(r"\]\(([^)#]+)\)", TEXT)):
        assert (DOCUMENT.parent / target).exists(), target
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
    }
    assert set(re.findall(r"\]\(#([^)]+)\)", TEXT)) <= anchors
    assert Path(DEPLOY / "Dockerfile").exists()
