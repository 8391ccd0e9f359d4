"""What wins over what, and how a value that does not fit is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from flux_actors.errors import Refused
from flux_actors.settings import Settings
from flux_actors.settings_file import SettingsFile, read_settings_file
from flux_actors.settings_loading import load_settings


@pytest.fixture
def loaded(tmp_path: Path):
    """Load settings from the text of a file, an environment and a command line."""

    def loaded(text: str, environment: dict[str, str] | None = None, **given: object) -> Settings:
        path = tmp_path / "flux.yaml"
        path.write_text(text)
        return load_settings(given, environment or {}, read_settings_file(path))

    return loaded


def test_a_file_sets_the_environment_wins_and_the_command_line_over_both(loaded, tmp_path) -> None:
    text = "partitions: 8\nshards: 2\ndoors: 3\n"
    settings = loaded(text, {"FLUX_SHARDS": "4", "FLUX_DOORS": "5"}, doors=6)
    assert (settings.partitions, settings.shards, settings.doors) == (8, 4, 6)
    assert settings.config == tmp_path / "flux.yaml"


def test_every_setting_but_secrets_can_stand_in_a_file(loaded) -> None:
    text = """
        host: 0.0.0.0
        spread: [a, b]
        nats_url: [nats://a:4222, "nats://b:4222"]
        log_max_age: 30d
        log_max_bytes: 10GB
        auth_enabled: yes
        door_resource: no
    """.replace("\n        ", "\n")
    settings = loaded(text)
    assert (settings.host, settings.auth_enabled, settings.door_resource) == ("0.0.0.0", True, False)  # noqa: S104 - nobody listens
    assert settings.spread_namespaces == {"a", "b"}
    assert settings.nats_url == "nats://a:4222,nats://b:4222"
    assert (settings.log_max_age, settings.log_max_bytes) == (30 * 86_400, 10_000_000_000)


def test_paths_of_a_file_count_from_its_folder(loaded, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir("/")
    settings = loaded("data: here\nsnapshots: /there\nnats_ca: ca.pem\n", {"FLUX_NATS_CREDENTIALS": "c"})
    assert (settings.data, settings.snapshots) == (tmp_path / "here", "/there")
    assert loaded("snapshots: there\n").snapshots == str(tmp_path / "there")
    assert loaded("snapshots: s3://bucket/flux\n").snapshots == "s3://bucket/flux"
    assert (settings.nats_ca, settings.nats_credentials) == (tmp_path / "ca.pem", Path("/c"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("port: 1\nshard: 2\n", r"flux\.yaml, line 2: there is no setting `shard`; do you mean `shards`\?"),
        ("frobnicate: 2\n", r"line 1: there is no setting `frobnicate`; known are host"),
        ("config: other.yaml\n", r"line 1: there is no setting `config`"),
        ("port: http\n", r"flux\.yaml, line 1: port: Input should be"),
        ("shards: 1\n\npartitions: 0\n", r"line 3: partitions: Input should be greater than or equal to 1"),
        ("shards: true\n", r"line 1: shards: this is no yes or no"),
        ("host: no\n", r"line 1: host: this is no yes or no"),
        ("shards: {a: 1}\n", r"line 1: shards: Input should be"),
        ("spread: [1]\n", r"line 1: spread: Input should be"),
        ("log_max_age: 1y\n", r"line 1: log_max_age: .*such as 30d"),
        (
            "admin_token: secret-text\n",
            r"line 1: `admin_token` is a secret .*`admin_token_file`, or set FLUX_ADMIN_",
        ),
        ("nats_password: secret-text\n", r"line 1: `nats_password` is a secret"),
        ("encryption_key: secret-text\n", r"line 1: `encryption_key` is a secret"),
    ],
    ids=range(13),
)
def test_what_does_not_fit_is_told_with_line_and_key(loaded, text: str, told: str) -> None:
    with pytest.raises(Refused, match=told) as caught:
        loaded(text)
    assert "secret-text" not in caught.value.message


def test_a_variable_that_does_not_fit_is_told_by_its_name_beside_a_file(loaded) -> None:
    with pytest.raises(Refused, match=r"^FLUX_SHARDS: "):
        loaded("shards: 2\n", {"FLUX_SHARDS": "0"})
    with pytest.raises(Refused, match=r"^FLUX_SHARDS: "):
        loaded("shards: 2\n", shards=0)


def test_of_several_files_the_last_wins() -> None:
    files = SettingsFile({"shards": 2, "doors": 2}), SettingsFile({"shards": 3})
    settings = load_settings({}, {}, *files)
    assert (settings.shards, settings.doors, settings.config) == (3, 2, None)


def test_a_secret_is_read_from_the_file_that_was_named(loaded, tmp_path) -> None:
    (tmp_path / "token").write_text("made-up-token\n")
    settings = loaded("admin_token_file: token\n")
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "made-up-token"
    assert "made-up-token" not in repr(settings)


def test_a_secret_and_its_file_are_one_setting(loaded, tmp_path) -> None:
    (tmp_path / "token").write_text("of-the-file")
    settings = loaded("admin_token_file: token\n", {"FLUX_ADMIN_TOKEN": "of-the-environment"})
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "of-the-environment"
    assert settings.admin_token_file is None
    environment = {"FLUX_ADMIN_TOKEN": "a", "FLUX_ADMIN_TOKEN_FILE": "b"}
    with pytest.raises(Refused, match="give either it or FLUX_ADMIN_TOKEN"):
        load_settings({}, environment)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read"), (b"", "is empty"), (b"\n", "is empty"), (b"\xff", "no text")],
)
def test_a_file_that_holds_no_secret_is_refused_with_its_place(loaded, tmp_path, content, told: str) -> None:
    if content is not None:
        (tmp_path / "token").write_bytes(content)
    with pytest.raises(Refused, match=rf"line 1: nats_password_file: .*{told}"):
        loaded("nats_password_file: token\n")


def test_secrets_are_left_alone_where_only_their_places_matter(tmp_path) -> None:
    file = SettingsFile({"admin_token_file": "/nowhere/token"})
    settings = load_settings({}, {}, file, read_secrets=False)
    assert (settings.admin_token, settings.admin_token_file) == (None, Path("/nowhere/token"))


@pytest.mark.parametrize("given", [{"nats_cert": "c"}, {"nats_key": "k"}])
def test_half_of_a_client_certificate_is_refused(given: dict[str, str]) -> None:
    with pytest.raises(Refused, match="both FLUX_NATS_CERT and FLUX_NATS_KEY"):
        load_settings(given, {})


def test_a_login_in_any_of_the_urls_is_refused_and_not_repeated(loaded) -> None:
    with pytest.raises(Refused, match="FLUX_NATS_PASSWORD") as caught:
        loaded("nats_url: [nats://a:1, nats://me:secret-text@b:1]\n")
    assert "secret-text" not in caught.value.message
