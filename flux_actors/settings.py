"""Settings: one class, filled from `FLUX_*` variables and the command line, handed to whoever needs it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.places.opening import absolute
from flux_actors.quantities import bytes_of, seconds_of
from flux_actors.tls import Certificate
from flux_actors.tracing import plan as tracing
from flux_actors.tracing.plan import TracePlan

_PREFIX: Final = "FLUX_"
_CLIENT_ONLY: Final = frozenset({"FLUX_URL", "FLUX_TOKEN", "FLUX_CA"})  # read by the command line's clients
_KEY_BYTES: Final = 32
_TRACES: Final = "traces"
_INTERNAL: Final = frozenset({"FLUX_RUN_ID"})  # marks the processes of one run


def _quantity(read: Callable[[str], int]) -> Callable[[Any], Any]:
    """Return what reads the text of a quantity, and leaves everything else as it is."""
    return lambda value: read(value) if isinstance(value, str) else value


class Settings(BaseSettings):
    """What an operator may set; every field is also the variable `FLUX_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=_PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address the doors listen on")
    port: int = Field(3000, ge=1, le=65535, description="port of the doors")
    serve_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="port of Ray Serve's own proxy; default 8000 or a free one, for this machine alone",
    )
    data: Path = Field(Path("flux-data"), description="folder of the log, the snapshots and the run file")
    snapshots: str | None = Field(
        None,
        description="where the snapshots go: a folder, or a URL such as s3://bucket/prefix; "
        "default <data>/snapshots",
    )
    partitions: int | None = Field(
        None,
        ge=1,
        le=limits.partitions_max,
        description="partitions of a new log (default 4); fixed once it exists",
    )
    spread: str = Field(
        "", description="namespaces spread over all partitions of a new log, comma separated; fixed as well"
    )
    shards: int = Field(1, ge=1, le=1024, description="shard actors that share the partitions")
    memory_bytes: int | None = Field(
        None,
        ge=limits.memory_bytes_min,
        description="bytes of entities that a shard keeps in memory, others go to disk; default all stay",
    )
    doors: int = Field(
        default_factory=lambda: max(1, (os.cpu_count() or 1) // 2),
        ge=1,
        le=1024,
        description="door replicas; default one for two cores",
    )
    nats_url: str | None = Field(None, description="an external NATS server, e.g. nats://host:4222")
    nats_user: str | None = Field(None, description="user of the external NATS server")
    nats_password: SecretStr | None = Field(None, description="its password")
    nats_credentials: Path | None = Field(None, description="credentials file of the external NATS server")
    log_replicas: int = Field(1, ge=1, le=5, description="copies of the log on an external NATS cluster")
    history_positions: int = Field(
        limits.history_positions_max,
        ge=0,
        le=limits.history_positions_max,
        description="newest events of an entity that its history answers with; 0 for no history",
    )
    log_max_age: Annotated[int | None, BeforeValidator(_quantity(seconds_of))] = Field(
        None,
        ge=1,
        description="age from which on events are forgotten, such as 30d; only behind three kept snapshots",
    )
    log_max_bytes: Annotated[int | None, BeforeValidator(_quantity(bytes_of))] = Field(
        None,
        ge=limits.log_bytes_min,
        description="about what the log may take in all, such as 10GB, an equal share for each partition; "
        "the oldest events are forgotten, only behind three kept snapshots",
    )
    admin_token: SecretStr | None = Field(
        None, description="token that may change the config and make namespaces"
    )
    traces: TracePlan | None = Field(
        None, description="what the OTEL_* variables say of traces; it has no variable of its own"
    )
    metrics_token: SecretStr | None = Field(
        None, description="token that may read /metrics and nothing else; the admin token may, too"
    )
    auth_enabled: bool = Field(default=False, description="whether writes and private namespaces need tokens")
    read_wait_ms: int = Field(2000, ge=0, le=60_000, description="how long a read waits for its position")
    cors_origins: str = Field("*", description="origins allowed by CORS, comma separated; * for any")
    encryption_key: SecretStr | None = Field(
        None,
        description="key of the connectors' credentials: 32 bytes in base64, as `flux connectors key` prints "
        "them; several, comma separated: the first encrypts, all decrypt",
    )
    connectors_allow_private: bool = Field(
        default=False, description="whether connectors may call private, loopback and metadata addresses"
    )
    github_url: str = Field(
        "https://api.github.com", description="GitHub's API; of an Enterprise https://<host>/api/v3"
    )
    tls_cert: Path | None = Field(None, description="certificate chain in PEM; the doors then speak HTTPS")
    tls_key: Path | None = Field(None, description="its private key in PEM, without a passphrase")
    connections_max: int = Field(
        limits.connections_max, ge=1, le=1_000_000, description="connections of a door, HTTP and WebSocket"
    )
    sockets_max: int = Field(
        limits.sockets_max, ge=1, le=1_000_000, description="WebSocket connections among them"
    )
    address_connections_max: int = Field(
        limits.address_connections_max,
        ge=1,
        le=1_000_000,
        description="connections of a door that one client address may hold",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take values from the caller alone: `load_settings` knows which environment counts."""
        del settings_cls, env_settings, dotenv_settings, file_secret_settings
        return (init_settings,)

    @property
    def snapshot_place(self) -> str:
        """Where snapshots go: a folder, or a URL."""
        return absolute(self.snapshots or str(self.data / "snapshots"))

    @property
    def serve_host(self) -> str:
        """Where Ray Serve's own proxy listens: it lacks the bounds of a door, so others must be let in."""
        return self.host if self.serve_port is not None else "127.0.0.1"

    @property
    def tls(self) -> bool:
        """Whether the doors speak HTTPS."""
        return self.tls_cert is not None

    def certificate(self) -> Certificate | None:
        """Return the certificate of the doors, `None` without TLS.

        Raises:
            Refused: its files do not fit.
        """
        if self.tls_cert is None or self.tls_key is None:
            return None
        return Certificate(self.tls_cert, self.tls_key)

    @property
    def spread_namespaces(self) -> frozenset[str]:
        """The namespaces of `spread`."""
        return frozenset(name.strip() for name in self.spread.split(",") if name.strip())

    @property
    def encryption_keys(self) -> tuple[bytes, ...]:
        """The keys of `encryption_key`, none when it is not set.

        Raises:
            Refused: one of them is no 32 bytes in base64; its text is not told.
        """
        text = self.encryption_key.get_secret_value() if self.encryption_key is not None else ""
        return tuple(_key(part.strip()) for part in text.split(",") if part.strip())


def load_settings(given: Mapping[str, Any], environment: Mapping[str, str]) -> Settings:
    """Return the settings: `given` (from the command line, `None` = not given) over `FLUX_*` variables.

    Raises:
        Refused: a value does not fit, or a `FLUX_*` variable is not known.
    """
    fields = {_PREFIX + name.upper(): name for name in Settings.model_fields if name != _TRACES}
    known = fields.keys() | _CLIENT_ONLY | _INTERNAL
    unknown = sorted(name for name in environment if name.startswith(_PREFIX) and name not in known)
    if unknown:
        raise Refused(f"unknown setting {unknown[0]}; known are {', '.join(sorted(known - _INTERNAL))}")
    values: dict[str, Any] = {fields[name]: value for name, value in environment.items() if name in fields}
    values[_TRACES] = tracing.trace_plan(environment)
    values |= {name: value for name, value in given.items() if value is not None}
    # Processes of Ray have working folders of their own.
    values |= {name: Path(values[name]).absolute() for name in ("tls_cert", "tls_key") if values.get(name)}
    try:
        settings = Settings(**values)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = _PREFIX + str(first["loc"][0]).upper() if first["loc"] else "settings"
        raise Refused(f"{name}: {first['msg']}") from None
    _ = settings.encryption_keys  # one that is none is told at the start
    if not settings.github_url.startswith(("https://", "http://")):
        raise Refused("FLUX_GITHUB_URL must begin with https:// (or http://)")
    if "@" in (settings.nats_url or ""):
        raise Refused(
            "put the login of NATS into FLUX_NATS_USER and FLUX_NATS_PASSWORD, or FLUX_NATS_CREDENTIALS, "
            "and not into its URL: others on the machine can read a command line"
        )
    if (settings.tls_cert is None) != (settings.tls_key is None):
        raise Refused("TLS needs both --tls-cert and --tls-key (FLUX_TLS_CERT and FLUX_TLS_KEY)")
    return settings


def is_loopback_host(host: str) -> bool:
    """Whether an address or a name is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def without_secrets(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for processes that get their settings in another way: it holds no secret of ours.

    `/proc/<pid>/environ` shows a process's variables to everybody of the same user, and to all it starts.
    """
    secret = {
        _PREFIX + name.upper()
        for name, field in Settings.model_fields.items()
        if field.annotation == SecretStr | None
    } | tracing.SECRETS
    return {name: value for name, value in environment.items() if name not in secret}


def _key(text: str) -> bytes:
    try:
        key = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != _KEY_BYTES:
        raise Refused(
            "FLUX_ENCRYPTION_KEY must be 32 bytes in base64; `flux connectors key` prints a fresh one"
        )
    return key
