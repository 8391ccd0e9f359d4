"""The code of reducers, at hand before a fold needs it: a fold cannot wait.

A block with a control event says so in its header. Whoever is about to fold blocks has the code of what they
deploy brought here first; and that of the catalogue of a snapshot, before what stands behind it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Iterator
from typing import Final, Protocol

from flux_actors.domain.acting.catalogue import Catalogue, Version
from flux_actors.domain.acting.reducers import Reducers
from flux_actors.domain.event import terms_in
from flux_actors.errors import Corrupt
from flux_actors.log.block import decode_block, has_control
from flux_actors.log.ports import StoredBlock

_REDUCE: Final = "reduce"


class LoadedReducers(Protocol):
    """Reducers whose code is given to them."""

    def load(self, digest: str, code: bytes) -> None:
        """Take the code of a behaviour."""
        ...

    def of_partition(self, partition: int) -> Reducers:
        """Return those of one partition's state."""
        ...

    def close(self) -> None:
        """End what runs them."""
        ...


class CodeSource(Protocol):
    """Has code by its digest."""

    async def get(self, digest: str) -> bytes:
        """Return it; raises `Unavailable` or `Corrupt`."""
        ...


def any_entity(pattern: str) -> bool:  # noqa: ARG001 - all are wanted
    """Say that entities which a pattern names are folded here."""
    return True


class ReducerCode:
    """Reducers, and where their code comes from."""

    def __init__(self, reducers: LoadedReducers, source: CodeSource) -> None:
        self._reducers = reducers
        self._source = source
        self._loaded: set[str] = set()

    def of_partition(self, partition: int) -> Reducers:
        """Return the reducers of one partition's state."""
        return self._reducers.of_partition(partition)

    async def prepare(self, catalogue: Catalogue, wanted: Callable[[str], bool] = any_entity) -> None:
        """Have the code of a catalogue's reducers at hand, of those with a `wanted` pattern.

        Raises:
            Unavailable: it cannot be had now. Corrupt: it is gone.
        """
        digests = {
            one.digest for one in _reducing(catalogue) if any(wanted(pattern) for pattern in one.match)
        }
        for digest in sorted(digests - self._loaded):
            code = await self._source.get(digest)
            await asyncio.to_thread(self._reducers.load, digest, code)
            self._loaded.add(digest)

    async def prepare_for(
        self, blocks: Iterable[StoredBlock], wanted: Callable[[str], bool] = any_entity
    ) -> None:
        """Have at hand what blocks deploy; raises as `prepare`."""
        for catalogue in catalogues_in(blocks):
            await self.prepare(catalogue, wanted)

    def close(self) -> None:
        """End what runs the reducers."""
        self._reducers.close()


def catalogues_in(blocks: Iterable[StoredBlock]) -> Iterator[Catalogue]:
    """Yield the catalogues that blocks put in force; one that cannot be read puts none."""
    for stored in blocks:
        if not has_control(stored.data):
            continue
        try:
            events = decode_block(stored.data).events
        except Corrupt:
            continue  # the fold says what is to be said of it
        for event in events:
            terms = None if event.entity_id is not None else terms_in(event)  # type: ignore[arg-type]
            if terms is not None and terms.control is not None:
                yield terms.control


def _reducing(catalogue: Catalogue) -> Iterator[Version]:
    for one in catalogue.deployed:
        for version in (one.stable, one.canary):
            if version is not None and _REDUCE in version.handles:
                yield version
