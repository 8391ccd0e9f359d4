"""Sites: several Ray clusters whose shards read one log, as while one takes over from another.

All of them apply the same events and come to the same state, so they need not know each other. What is not of
the log but of a cluster bears its name: the topology, for a shard is an actor of one cluster alone, and
whatever goes over the bus, for the feeds of two shards of one partition are numbered each by itself. The one
Flux of a data folder has no name.
"""

from __future__ import annotations

from typing import Final

from flux_actors.errors import Unavailable
from flux_actors.log.ports import Entry, KeyValue, Versioned

_ROOT: Final = "flux."
_KEPT: Final = 8  # sites whose topology is kept; older ones are gone


def subject_at(site: str, subject: str) -> str:
    """Return a subject of the bus as a site has it."""
    return f"{_ROOT}at.{site}.{subject.removeprefix(_ROOT)}" if site else subject


def site_of(key: str) -> str:
    """Return of which site a key is, in a store of many sites."""
    return key.split(".")[1] if key.startswith("at.") else ""


def at_site(store: KeyValue, site: str) -> KeyValue:
    """Return a store whose keys are those of a site."""
    return SiteKeyValue(store, site) if site else store


class SiteKeyValue:
    """A `KeyValue` in which a site sees its own keys alone."""

    def __init__(self, store: KeyValue, site: str) -> None:
        self._store = store
        self._site = site

    async def get(self, key: str) -> Versioned | None:
        """Return the value of `key`, `None` when there is none."""
        return await self._store.get(self._own(key))

    async def put(self, key: str, value: bytes, expected: int | None = None) -> int:
        """Store and return the new revision."""
        return await self._store.put(self._own(key), value, expected)

    async def delete(self, key: str) -> None:
        """Forget `key`."""
        await self._store.delete(self._own(key))

    async def keys(self) -> list[str]:
        """Return all keys of the site, sorted."""
        mark = self._own("")
        return [key.removeprefix(mark) for key in await self._store.keys() if key.startswith(mark)]

    async def changes(self, after: int) -> list[Entry]:
        """Return what the site stored or deleted behind a revision."""
        mark = self._own("")
        entries = await self._store.changes(after)
        return [one._replace(key=one.key.removeprefix(mark)) for one in entries if one.key.startswith(mark)]

    def _own(self, key: str) -> str:
        return f"at.{self._site}.{key}"


async def forget_old_sites(store: KeyValue, site: str) -> None:
    """Delete what sites have left that are long gone: all but the newest few, and `site`."""
    entries = [one for one in await store.changes(0) if one.key.startswith("at.") and one.value is not None]
    others = [one for one in entries if not one.key.startswith(f"at.{site}.")]
    for entry in sorted(others, key=lambda one: one.revision)[:-_KEPT]:
        try:
            await store.delete(entry.key)
        except Unavailable:
            return  # the next router does it
