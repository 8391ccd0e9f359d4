"""The settings that an admin changes while Flux runs."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from flux_actors import limits
from flux_actors.errors import Refused


class RuntimeConfig(msgspec.Struct, frozen=True):
    """In force on every replica within a second, kept across restarts."""

    rate_limit_enabled: bool = True
    rate_limit_per_namespace_per_minute: int = limits.rate_per_minute
    body_size_limit_single_bytes: int = limits.body_single_bytes
    body_size_limit_batch_bytes: int = limits.body_batch_bytes


_RANGES: Final[dict[str, tuple[int, int]]] = {
    "rate_limit_per_namespace_per_minute": limits.rate_per_minute_range,
    "body_size_limit_single_bytes": limits.body_single_bytes_range,
    "body_size_limit_batch_bytes": limits.body_batch_bytes_range,
}


def changed(config: RuntimeConfig, update: object) -> RuntimeConfig:
    """Return `config` with the fields of `update`, or raise `Refused` for one that does not fit."""
    if not isinstance(update, dict):
        raise Refused("the config must be a JSON object")
    for name, value in update.items():
        _check(name, value)
    return msgspec.structs.replace(config, **update)


def difference(old: RuntimeConfig, new: RuntimeConfig) -> dict[str, dict[str, Any]]:
    """Return the fields in which two configs differ, with both values of each."""
    pairs = {name: (getattr(old, name), getattr(new, name)) for name in old.__struct_fields__}
    return {name: {"from": a, "to": b} for name, (a, b) in pairs.items() if a != b}


def _check(name: str, value: Any) -> None:
    if name == "rate_limit_enabled":
        if not isinstance(value, bool):
            raise Refused("rate_limit_enabled must be true or false")
        return
    if name not in _RANGES:
        known = ", ".join(["rate_limit_enabled", *_RANGES])
        raise Refused(f"unknown config key {str(name)[:64]!r}; the keys are {known}")
    low, high = _RANGES[name]
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise Refused(f"{name} must be an integer from {low} to {high}")
