"""Configuring connectors: tokens sealed, sources checked. Loaded when somebody does; see `connectors.py`."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import msgspec

from flux_actors import limits
from flux_actors.connectors.addresses import AddressRule
from flux_actors.connectors.generic import Source, read_source, read_token, source_of
from flux_actors.connectors.records import GENERIC, Configured, Key, new_configured
from flux_actors.connectors.vault import Vault
from flux_actors.connectors.web import origin_of, parse_url
from flux_actors.errors import Refused

if TYPE_CHECKING:
    from flux_api.audit import Audit
    from flux_api.connectors import DoorConnectors, Owner

_TOKEN_FIELDS: Final = frozenset({"token", "settings"})


class ConnectorChanges:
    """Changes the configuration, and has it taken up."""

    def __init__(self, connectors: DoorConnectors, audit: Audit) -> None:
        self._connectors = connectors
        self._audit = audit
        self._vault = Vault(connectors.settings.encryption_keys)
        self._rule = AddressRule(allow_private=connectors.settings.connectors_allow_private)

    async def set_token(self, owner: Owner, name: str, body: object) -> None:
        """Give a connector its token, in place of an earlier one.

        Raises:
            Refused: 400 for the body, 403 when it would write where the owner may not, 500 without a key.
        """
        token, settings = _read_token_body(body)
        _check_within(owner, f"{owner.namespace}/{name}/")
        configured = new_configured(self._vault.of(owner.namespace).seal(name, token), settings)
        await self._change(owner, "connector.token", name, configured)

    async def forget_token(self, owner: Owner, name: str) -> None:
        """Forget a connector's token, and what it remembers.

        Raises:
            Refused: 403 when it writes where the owner may not, 500 without a key.
        """
        _check_within(owner, f"{owner.namespace}/{name}/")
        self._vault.check()
        await self._change(owner, "connector.forget", name, None)

    async def add_source(self, owner: Owner, body: object) -> str:
        """Add a generic source and return its id.

        Raises:
            Refused: 400 for the body or an address that must not be called, 409 for one too many,
                500 without a key where there is a token.
        """
        source, token = read_source(body)
        if source.namespace != owner.namespace and not owner.writes_elsewhere:
            raise Refused(f"a source of this token writes to the namespace {owner.namespace!r} alone", 403)
        _check_within(owner, source.entity_id)
        await self._rule.check(*origin_of(parse_url(source.url)))
        source_id = f"src_{secrets.token_hex(8)}"
        key = f"{GENERIC}/{source_id}"
        sealed = None if token is None else self._vault.of(owner.namespace).seal(key, token)
        await self._change(owner, "connector.source", key, new_configured(sealed, _settings(source)))
        return source_id

    async def remove_source(self, owner: Owner, source_id: str) -> None:
        """Remove a generic source.

        Raises:
            Refused: 404, there is none of this id; 403, it writes where the owner may not.
        """
        key = f"{GENERIC}/{source_id}"
        configured = (await self._connectors.store.record(owner.namespace)).connectors.get(key)
        if configured is not None:
            _check_within(owner, source_of(configured.settings).entity_id)
        await self._change(owner, "connector.remove", key, None)

    async def _change(self, owner: Owner, what: str, key: Key, configured: Configured | None) -> None:
        """Record the change, make it, and have it taken up."""

        def change(connectors: dict[Key, Configured]) -> None:
            _changed(connectors, key, configured)

        store, namespace = self._connectors.store, owner.namespace
        change(dict((await store.record(namespace)).connectors))  # refuse before it is recorded
        await self._audit.record(owner.who, what, {**owner.shown, "connector": key})
        await store.change(namespace, change)
        if configured is None:
            await store.forget_memory(namespace, key)
        self._connectors.actors.changed(namespace)


def _changed(connectors: dict[Key, Configured], key: Key, configured: Configured | None) -> None:
    """Put a connector in, or take it out.

    Raises:
        Refused: 404, there is no such source to take out; 409, there are too many.
    """
    source = f"{GENERIC}/"
    if configured is None:
        if connectors.pop(key, None) is None and key.startswith(source):
            raise Refused("there is no such source; GET /api/connectors/generic lists them", 404)
        return
    connectors[key] = configured
    if sum(other.startswith(source) for other in connectors) > limits.generic_sources_max:
        raise Refused(f"a namespace may have at most {limits.generic_sources_max} sources", 409)


def _check_within(owner: Owner, written: str) -> None:
    if not written.startswith(owner.prefix):
        raise Refused(f"this token is good for ids beginning with {owner.prefix!r} alone", 403)


def _settings(source: Source) -> dict[str, Any]:
    settings: dict[str, Any] = msgspec.to_builtins(source)
    return settings


def _read_token_body(body: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(body, dict):
        raise Refused('the body must be {"token": "<token>"}')
    if not body.keys() <= _TOKEN_FIELDS:
        raise Refused("the body may hold token and settings, nothing else")
    settings = body.get("settings", {})
    if (
        not isinstance(settings, dict)
        or len(msgspec.json.encode(settings)) > limits.connector_settings_bytes_max
    ):
        raise Refused(
            f"settings must be a JSON object of at most {limits.connector_settings_bytes_max} bytes"
        )
    return read_token(body.get("token")), settings
