from __future__ import annotations

import pytest

from flux_actors.backup import stored
from flux_actors.errors import Corrupt
from flux_actors.log.memory import MemoryStores
from flux_actors.router.topology import RESTORING_KEY


async def test_values_come_back_in_their_order_and_the_registry_last() -> None:
    stores = MemoryStores()
    for name in ("flux_tenancy", "flux_registry", "flux_config"):
        store = await stores.open(name)
        for key in ("z", "a", "gone"):
            await store.put(key, f"{name} {key} \x00".encode())
        await store.delete("gone")
    dump = stored.decode(await stored.dump(stores))
    assert [one.key for one in dump["flux_config"]] == ["z", "a"]
    others = MemoryStores()
    await stored.fill(others, dump)
    assert list(others.kept)[-1] == "flux_registry"
    for name in await stores.names():
        assert await (await others.open(name)).keys() == ["a", "z"]
        before, after = await stores.open(name), await others.open(name)
        for key in ("a", "z"):
            found, expected = await after.get(key), await before.get(key)
            assert found is not None
            assert expected is not None
            assert found.value == expected.value


async def test_note_of_a_restore_is_not_restored() -> None:
    stores = MemoryStores()
    await stored.fill(stores, {"flux_registry": [stored.Value(RESTORING_KEY, b"x", 1)]})
    assert await (await stores.open("flux_registry")).keys() == []


async def test_same_values_are_the_same_bytes() -> None:
    stores = MemoryStores()
    await (await stores.open("flux_b")).put("k", b"v")
    await (await stores.open("flux_a")).put("k", b"v")
    assert await stored.dump(stores) == await stored.dump(stores)


@pytest.mark.parametrize("data", [b"", b"[]", b'{"a":[{"key":1}]}', b'{"a":[{"key":"k","value":"?"}]}'])
def test_what_is_no_dump_is_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        stored.decode(data)
