from __future__ import annotations

import base64
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.settings import Settings, without_secrets
from flux_actors.settings_loading import load_settings


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith("FLUX_")]:
        monkeypatch.delenv(name)


def loaded(**given: object) -> Settings:
    return load_settings(given, os.environ)


def test_defaults_listen_on_this_machine_alone() -> None:
    settings = loaded()
    assert (settings.host, settings.port) == ("127.0.0.1", 3000)
    assert settings.doors >= 1
    assert settings.auth_enabled is False
    assert settings.read_wait_ms == 2_000


def test_variable_sets_a_field_and_the_command_line_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_PORT", "4000")
    monkeypatch.setenv("FLUX_SHARDS", "3")
    assert (loaded().port, loaded().shards) == (4000, 3)
    assert (loaded(port=5000).port, loaded(port=5000).shards) == (5000, 3)
    assert loaded(port=None).port == 4000


def test_variables_come_from_the_environment_that_was_given() -> None:
    assert load_settings({}, {"FLUX_PORT": "4000"}).port == 4000


def test_variables_of_this_process_stay_out_of_another_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_PORT", "4000")
    assert load_settings({}, {}).port == 3000


@pytest.mark.parametrize("name", ["FLUX_PRT", "FLUX_", "FLUX_PORTS", "FLUX_DATA_"])
def test_unknown_variable_is_refused_with_its_name_and_the_known_ones(name: str) -> None:
    with pytest.raises(Refused, match=f"unknown setting {name};") as caught:
        load_settings({}, {name: "1"})
    assert "FLUX_PORT" in caught.value.message
    assert "FLUX_RUN_ID" not in caught.value.message


def test_variables_of_others_and_of_the_clients_are_no_settings() -> None:
    others = {"PATH": "/bin", "FLUXX": "1", "FLUX_URL": "u", "FLUX_TOKEN": "t", "FLUX_RUN_ID": "r"}
    assert load_settings({}, others) == loaded()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("port", value) for value in (0, -1, 65_536, "x", "", 1.5)],
        *[("serve_port", value) for value in (0, 65_536)],
        *[(name, value) for name in ("partitions", "shards", "doors") for value in (0, 1_025)],
        *[("log_replicas", value) for value in (0, 6)],
        *[("history_positions", value) for value in (-1, 501)],
        *[("log_max_age", value) for value in (0, "0s", "-1d", "soon", "1y")],
        *[("log_max_bytes", value) for value in (0, "1kB", "many", -1, limits.log_bytes_min - 1)],
        *[("memory_bytes", value) for value in (0, limits.memory_bytes_min - 1, "2 GB")],
        *[("read_wait_ms", value) for value in (-1, 60_001)],
        ("auth_enabled", "perhaps"),
        ("no_such_field", 1),
    ],
)
def test_value_that_does_not_fit_is_refused_with_the_name_of_its_variable(name: str, value: object) -> None:
    with pytest.raises(Refused, match=f"^FLUX_{name.upper()}: "):
        loaded(**{name: value})


def test_variable_that_does_not_fit_is_refused_with_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLUX_PORT", "http")
    with pytest.raises(Refused, match=r"^FLUX_PORT: ") as caught:
        loaded()
    assert "http" not in caught.value.message


def test_no_text_of_the_settings_holds_a_secret() -> None:
    settings = loaded(admin_token="made-up-admin", nats_password="made-up-password")
    assert settings.admin_token is not None
    assert settings.admin_token.get_secret_value() == "made-up-admin"
    for text in (repr(settings), str(settings), settings.model_dump_json()):
        assert "made-up" not in text


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        loaded().port = 1  # type: ignore[misc]


def test_snapshots_stand_beside_the_log_unless_told_otherwise() -> None:
    assert loaded(data="d").snapshot_place == str(Path("d/snapshots").absolute())
    assert loaded(data="d", snapshots="s").snapshot_place == str(Path("s").absolute())
    assert loaded(data="d", snapshots="s3://bucket/prefix").snapshot_place == "s3://bucket/prefix"


@pytest.mark.parametrize(
    ("text", "names"), [("", set()), ("a", {"a"}), (" a, b ,,a", {"a", "b"}), (",", set())]
)
def test_spread_namespaces_are_a_list_with_commas(text: str, names: set[str]) -> None:
    assert loaded(spread=text).spread_namespaces == names


def test_every_setting_tells_what_it_is() -> None:
    assert [name for name, setting in Settings.model_fields.items() if not setting.description] == []


KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in range(3)]


def test_encryption_keys_are_read_in_order() -> None:
    settings = loaded(encryption_key=f"{KEYS[0]}, {KEYS[1]},")
    assert settings.encryption_keys == (bytes(32), b"\x01" * 32)
    assert loaded().encryption_keys == ()


@pytest.mark.parametrize("text", ["short", KEYS[0][:-4], f"{KEYS[0]},x", KEYS[0] + "AAAA", "ä" * 44])
def test_a_key_that_is_none_is_refused_at_the_start_without_being_told(text: str) -> None:
    with pytest.raises(Refused, match="flux connectors key") as caught:
        loaded(encryption_key=text)
    assert text not in caught.value.message


def test_no_text_of_the_settings_holds_a_key() -> None:
    assert KEYS[0] not in repr(loaded(encryption_key=KEYS[0]))


@pytest.mark.parametrize("given", [{"tls_cert": "c"}, {"tls_key": "k"}])
def test_half_of_tls_is_refused_by_the_names_of_both_options(given: dict[str, str]) -> None:
    with pytest.raises(Refused, match="both --tls-cert and --tls-key"):
        loaded(**given)


def test_files_of_tls_are_named_for_processes_that_stand_elsewhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLUX_TLS_CERT", "c.pem")
    settings = loaded(tls_key=Path("k.pem"))
    assert (settings.tls_cert, settings.tls_key) == (tmp_path / "c.pem", tmp_path / "k.pem")
    assert settings.tls
    assert not Settings().tls
    assert Settings().certificate() is None


def test_serves_own_proxy_is_for_this_machine_unless_its_port_was_asked_for() -> None:
    assert loaded(host="10.0.0.7").serve_host == "127.0.0.1"
    assert loaded(host="10.0.0.7", serve_port=8_000).serve_host == "10.0.0.7"


@pytest.mark.parametrize("url", ["api.github.com", "ftp://x", ""])
def test_githubs_address_must_be_one_of_the_web(url: str) -> None:
    with pytest.raises(Refused, match="FLUX_GITHUB_URL"):
        loaded(github_url=url)


def test_processes_that_need_no_secret_get_none() -> None:
    environment = {
        "FLUX_ENCRYPTION_KEY": KEYS[0],
        "FLUX_ADMIN_TOKEN": "a",
        "FLUX_NATS_PASSWORD": "p",
        "FLUX_METRICS_TOKEN": "m",
        "OTEL_EXPORTER_OTLP_HEADERS": "key=h",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS": "key=t",
        "FLUX_PORT": "1",
        "PATH": "/bin",
    }
    assert without_secrets(environment) == {"FLUX_PORT": "1", "PATH": "/bin"}


def test_bounds_of_the_log_are_written_with_units() -> None:
    settings = load_settings({"log_max_age": "30d"}, {"FLUX_LOG_MAX_BYTES": "10GB"})
    assert (settings.log_max_age, settings.log_max_bytes) == (30 * 86_400, 10_000_000_000)
    assert (loaded().log_max_age, loaded().log_max_bytes) == (None, None)
    with pytest.raises(Refused, match=r"FLUX_LOG_MAX_AGE: .*such as 30d, 12h, 90m or 45s, not '1y'"):
        load_settings({}, {"FLUX_LOG_MAX_AGE": "1y"})


def test_traces_are_what_the_variables_of_opentelemetry_say():
    assert load_settings({}, {}).traces is None
    traces = load_settings({}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://c:4318"}).traces
    assert traces is not None
    assert traces.variables == (("OTEL_EXPORTER_OTLP_ENDPOINT", "http://c:4318"),)
    with pytest.raises(Refused, match="unknown setting FLUX_TRACES"):
        load_settings({}, {"FLUX_TRACES": "on"})
    with pytest.raises(Refused, match="OTEL_TRACES_EXPORTER"):
        load_settings({}, {"OTEL_TRACES_EXPORTER": "zipkin"})
