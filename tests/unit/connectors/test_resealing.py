"""Key rotation: all is sealed anew under the first key, and what cannot be opened stays as it is."""

from __future__ import annotations

from flux_actors.connectors.records import Configured, ConnectorStore
from flux_actors.connectors.resealing import reseal
from flux_actors.connectors.vault import Vault
from flux_actors.log.memory import MemoryKeyValue

OLD, NEW, OTHER = bytes(32), b"\x01" * 32, b"\x02" * 32


async def test_what_is_under_an_older_key_is_sealed_under_the_first():
    store = ConnectorStore(MemoryKeyValue())
    old, other = Vault([OLD]).of("home"), Vault([OTHER]).of("home")
    before = {
        "github": Configured("r1", old.seal("github", "one"), {"a": 1}),
        "generic/src_1": Configured("r2", old.seal("generic/src_1", "two")),
        "generic/src_2": Configured("r3"),
        "gmail": Configured("r4", other.seal("gmail", "lost")),
    }
    await store.change("home", lambda connectors: connectors.update(before))
    assert await reseal(store, "home", Vault([NEW, OLD]).of("home")) == 2
    after = (await store.record("home")).connectors
    fresh = Vault([NEW]).of("home")
    assert fresh.open("github", after["github"].sealed or "") == "one"
    assert fresh.open("generic/src_1", after["generic/src_1"].sealed or "") == "two"
    assert {key: (c.revision, c.settings) for key, c in after.items()} == {
        key: (c.revision, c.settings) for key, c in before.items()
    }
    assert (after["generic/src_2"], after["gmail"]) == (before["generic/src_2"], before["gmail"])
    assert await reseal(store, "home", fresh) == 0


async def test_without_a_key_nothing_changes():
    store = ConnectorStore(MemoryKeyValue())
    sealed = Configured("r1", Vault([OLD]).of("home").seal("github", "one"))
    await store.change("home", lambda connectors: connectors.update(github=sealed))
    assert await reseal(store, "home", Vault([]).of("home")) == 0
    assert (await store.record("home")).connectors == {"github": sealed}
