"""Settings: one class, handed to whoever needs it; `settings_loading.py` fills it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from flux_actors import limits
from flux_actors.errors import Refused
from flux_actors.places.opening import absolute
from flux_actors.quantities import bytes_of, seconds_of
from flux_actors.tls import Certificate
from flux_actors.tracing import plan as tracing
from flux_actors.tracing.plan import TracePlan

PREFIX: Final = "FLUX_"
_KEY_BYTES: Final = 32
DERIVED: Final = frozenset({"traces"})  # settings that others than `FLUX_*` say


def _quantity(read: Callable[[str], int]) -> Callable[[Any], Any]:
    """Return what reads the text of a quantity, and leaves everything else as it is."""
    return lambda value: read(value) if isinstance(value, str) else value


def _joined(value: Any) -> Any:
    """Return a list, as a file may have one, in the way in which a variable has it."""
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ",".join(value)
    return value


_List = Annotated[str, BeforeValidator(_joined)]


class Settings(BaseSettings):
    """What an operator may set; every field is also the variable `FLUX_<NAME>`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="forbid", frozen=True)

    config: Path | None = Field(
        None, description="settings file; default flux.yaml in the working folder, if it is there"
    )
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
        description="partitions of a new log (default 4); then only `flux repartition` changes it",
    )
    spread: _List = Field(
        "", description="namespaces spread over all partitions of a new log, comma separated; likewise"
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
        le=limits.doors_max,
        description="door replicas, where no node has doors of its own; default one for two cores",
    )
    door_resource: bool | None = Field(
        None,
        description="whether doors go by the custom resource flux-door, one for each that a node has; "
        "default if some node has it when Flux starts",
    )
    nats_url: Annotated[str | None, BeforeValidator(_joined)] = Field(
        None, description="an external NATS, e.g. nats://host:4222; its servers, comma separated"
    )
    nats_user: str | None = Field(None, description="user of the external NATS")
    nats_password: SecretStr | None = Field(None, description="its password")
    nats_password_file: Path | None = Field(None, description="file that holds this password")
    nats_credentials: Path | None = Field(None, description="credentials file of the external NATS")
    nats_ca: Path | None = Field(
        None, description="authorities in PEM that the certificate of NATS is checked by; asks for TLS"
    )
    nats_cert: Path | None = Field(None, description="client certificate for NATS in PEM; asks for TLS")
    nats_key: Path | None = Field(None, description="its private key in PEM")
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
    admin_token_file: Path | None = Field(None, description="file that holds this token")
    traces: TracePlan | None = Field(
        None, description="what the OTEL_* variables say of traces; it has no variable of its own"
    )
    metrics_token: SecretStr | None = Field(
        None, description="token that may read /metrics and nothing else; the admin token may, too"
    )
    metrics_token_file: Path | None = Field(None, description="file that holds this token")
    auth_enabled: bool = Field(default=False, description="whether writes and private namespaces need tokens")
    read_wait_ms: int = Field(2000, ge=0, le=60_000, description="how long a read waits for its position")
    cors_origins: str = Field("*", description="origins allowed by CORS, comma separated; * for any")
    encryption_key: SecretStr | None = Field(
        None,
        description="key of the connectors' credentials: 32 bytes in base64, as `flux connectors key` prints "
        "them; several, comma separated: the first encrypts, all decrypt",
    )
    encryption_key_file: Path | None = Field(None, description="file that holds these keys")
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


def variable(name: str) -> str:
    """Return the variable that sets a setting."""
    return PREFIX + name.upper()


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
    secret = {variable(name) for name in SECRETS} | tracing.SECRETS
    return {name: value for name, value in environment.items() if name not in secret}


SECRETS: Final = frozenset(
    name for name, setting in Settings.model_fields.items() if setting.annotation == SecretStr | None
)


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
