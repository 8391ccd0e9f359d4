"""Key rotation: what is sealed under an older key is sealed anew under the first."""

from __future__ import annotations

import msgspec

from flux_actors.connectors.records import Configured, ConnectorStore, Key
from flux_actors.connectors.vault import NamespaceVault
from flux_actors.errors import Corrupt, Refused


async def reseal(store: ConnectorStore, namespace: str, vault: NamespaceVault) -> int:
    """Seal a namespace's credentials anew; return how many were under an older key."""
    count = 0

    def change(connectors: dict[Key, Configured]) -> None:
        nonlocal count
        fresh = {key: sealed for key, old in connectors.items() if (sealed := _resealed(key, old, vault))}
        connectors.update(fresh)
        count = len(fresh)

    await store.change(namespace, change)
    return count


def _resealed(key: Key, configured: Configured, vault: NamespaceVault) -> Configured | None:
    try:
        if configured.sealed is None or vault.is_fresh(configured.sealed):
            return None
        sealed = vault.seal(key, vault.open(key, configured.sealed))
    except (Corrupt, Refused):
        return None  # its key is gone: the connector says so itself
    return msgspec.structs.replace(configured, sealed=sealed)
