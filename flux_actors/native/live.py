"""Live: the entities whose ids begin alike as a dictionary of this process, kept fresh by the feed."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, Self

from flux_actors import limits
from flux_actors.domain.position import parse
from flux_actors.native.copies import Copies
from flux_actors.native.core import Core

_WAIT_S: Final = 10.0


class Live(Mapping[str, dict[str, Any]]):
    """Entity ids and their properties, read at memory speed from any thread; close it when it is done with.

    It is a moment behind the log: `position` says up to where it is true, and `wait` returns when it has come
    to a position that a publish gave. Each entity is whole, as it was before an event or after it, and its
    properties are a dictionary of the reader's own (what is nested in it is shared: do not change that).
    Between two look-ups the world goes on; `snapshot`, `items` and `values` are pictures of one moment, which
    hold at least all up to the `position` that was read before.
    """

    def __init__(self, core: Core, copies: Copies) -> None:
        self._core = core
        self._copies = copies

    @property
    def prefix(self) -> str:
        """How the ids begin."""
        return self._copies.prefix

    @property
    def position(self) -> str:
        """Up to where it is true."""
        return self._copies.position

    def position_of(self, entity_id: str) -> str:
        """Return where an entity changed last, for `if_match`; `KeyError` when there is none."""
        self._check()
        return self._copies.position_of(entity_id)

    def wait(self, position: str, timeout_s: float = _WAIT_S) -> Self:
        """Return when it includes a position.

        Raises:
            Unavailable: it has not come so far in `timeout_s`.
        """
        self._core.home.thread.run(self._reached(position, timeout_s))
        return self

    async def wait_async(self, position: str, timeout_s: float = _WAIT_S) -> Self:
        """Do what `wait` does, for coroutines."""
        await self._core.home.thread.run_async(self._reached(position, timeout_s))
        return self

    def snapshot(self) -> dict[str, dict[str, Any]]:
        """Return all entities of this moment."""
        self._check()
        return {entity_id: dict(row.properties or {}) for entity_id, row in self._copies.rows.copy().items()}

    def keys(self) -> KeysView[str]:
        """Return the ids of this moment."""
        self._check()
        return dict.fromkeys(tuple(self._copies.rows)).keys()

    def items(self) -> ItemsView[str, dict[str, Any]]:
        """Return ids and properties of this moment."""
        return self.snapshot().items()

    def values(self) -> ValuesView[dict[str, Any]]:
        """Return the properties of this moment."""
        return self.snapshot().values()

    def close(self) -> None:
        """Follow no longer: what was read last can still be read, and gets no newer."""
        self._core.home.thread.run(self._core.end(self._copies))

    async def close_async(self) -> None:
        """Do what `close` does, for coroutines."""
        await self._core.home.thread.run_async(self._core.end(self._copies))

    def __getitem__(self, entity_id: str) -> dict[str, Any]:
        self._check()
        return dict(self._copies.rows[entity_id].properties or {})

    def __contains__(self, entity_id: object) -> bool:
        self._check()
        return entity_id in self._copies.rows

    def __iter__(self) -> Iterator[str]:
        self._check()
        return iter(tuple(self._copies.rows))

    def __len__(self) -> int:
        self._check()
        return len(self._copies.rows)

    def __repr__(self) -> str:
        return f"Live({self.prefix!r}, {len(self._copies.rows)} entities, position={self.position!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close_async()

    async def _reached(self, position: str, timeout_s: float) -> None:
        await self._copies.reached(parse(position, limits.partitions_max), timeout_s)

    def _check(self) -> None:
        """Raise why it may not be read any more."""
        if self._copies.error is not None:
            raise self._copies.error
