"""Whether events are traced, as the standard variables say where Flux is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from flux_actors.errors import Refused

_PREFIX: Final = "OTEL_"
_OTLP: Final = "otlp"
_HTTP: Final = "http/protobuf"
_EXPORTER: Final = "OTEL_TRACES_EXPORTER"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS: Final = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
# They may hold a key of whoever keeps the traces: like our own secrets they travel in orders.
SECRETS: Final = frozenset({"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"})


@dataclass(frozen=True, slots=True)
class TracePlan:
    """The `OTEL_*` variables of whoever started Flux, on all nodes."""

    variables: tuple[tuple[str, str], ...] = field(repr=False)


def trace_plan(environment: Mapping[str, str]) -> TracePlan | None:
    """Return what an environment asks for, `None` when nothing is to be traced.

    Traces are on with `OTEL_TRACES_EXPORTER=otlp`, or with an endpoint of a collector alone.

    Raises:
        Refused: they are to go a way that Flux does not know.
    """
    exporter = environment.get(_EXPORTER, "").strip().lower()
    off = environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true" or exporter == "none"
    if off or not (exporter or any(environment.get(name) for name in _ENDPOINTS)):
        return None
    if exporter not in {"", _OTLP}:
        raise Refused(f"{_EXPORTER} must be {_OTLP} or none: Flux sends traces no other way")
    protocol = next((value for name in _PROTOCOLS if (value := environment.get(name))), _HTTP)
    if protocol != _HTTP:
        raise Refused(f"{_PROTOCOLS[1]} must be {_HTTP}, which collectors take at port 4318")
    return TracePlan(tuple(sorted(item for item in environment.items() if item[0].startswith(_PREFIX))))
