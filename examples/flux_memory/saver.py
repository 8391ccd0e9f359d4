"""A checkpointer of LangGraph that keeps an agent's memory in Flux.

    graph = builder.compile(checkpointer=FluxSaver(flux.connect()))

What is acknowledged is on disk, so an agent whose process dies goes on in another one, on any machine of the
cluster. Earlier checkpoints stay, and values that have not changed since are shared by them.
"""

from __future__ import annotations

import asyncio
import random
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any, Final

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    BaseCheckpointSaver,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    PendingWrite,
    get_checkpoint_id,
    get_checkpoint_metadata,
    writes_sort_key,
)
from langgraph.checkpoint.serde.base import SerializerProtocol

import flux_actors as flux
from flux_memory.shelf import Shelf, shelf_of, thread_prefix

_NO_VALUE: Final = ["empty", ""]  # the channel has none in this version, as LangGraph's own savers tell it
_READ_AT_ONCE: Final = 50  # checkpoints of a list
_Entity = dict[str, Any]
_Packed = list[str]  # kind and text; named here, for in the class `list` is something else
_Shelves = list[tuple[Shelf, _Entity]]
_Pending = list[PendingWrite]


class FluxSaver(BaseCheckpointSaver[str]):
    """Keeps checkpoints as entities of Flux.

    Arguments:
        fx: with which it reads and writes.
        memory: the namespace of its entities.
        serde: how values become bytes; LangGraph's own if left out.
    """

    def __init__(
        self, fx: flux.Flux, memory: str = "memory", *, serde: SerializerProtocol | None = None
    ) -> None:
        super().__init__(serde=serde)
        self._fx = fx
        self._memory = memory

    # -- writing -----------------------------------------------------------------------------------

    def put(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """Keep a checkpoint; it is on disk on return."""
        shelf, parent = self._shelf(config), get_checkpoint_id(config)
        rest: _Entity = {**checkpoint}
        values = rest.pop("channel_values")
        parts: list[tuple[str, _Entity]] = [
            (shelf.value(channel, version), {"value": self._packed(values, channel)})
            for channel, version in new_versions.items()
        ]
        told = self._pack(get_checkpoint_metadata(config, metadata))
        parts.append((shelf.checkpoint(checkpoint["id"]), {"checkpoint": self._pack(rest), "metadata": told}))
        self._fx.publish_many(parts)
        self._fx.publish(shelf.contents, {checkpoint["id"]: parent or ""})
        return _config(shelf, checkpoint["id"])

    def put_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """Keep what a task has written since a checkpoint; a task that is run again writes nothing twice."""
        entity_id = self._shelf(config).writes(config["configurable"]["checkpoint_id"])
        there = self._fx.entity(entity_id).state() or {}
        rows: _Entity = {}
        for place, (channel, value) in enumerate(writes):
            index = WRITES_IDX_MAP.get(channel, place)
            name = f"{task_id} {index}"
            if index < 0 or name not in there:  # errors and interrupts are told anew
                rows[name] = [task_path, channel, *self._pack(value)]
        if rows:
            self._fx.publish(entity_id, rows)

    def delete_thread(self, thread_id: str) -> None:
        """Forget a thread: first that its checkpoints are there, then all that they were made of."""
        with self._fx.live(thread_prefix(self._memory, thread_id)) as entities:
            ids = sorted(entities, key=lambda one: shelf_of(self._memory, one) is None)
        for entity_id in ids:
            self._fx.delete(entity_id)

    def get_next_version(self, current: str | None, channel: None) -> str:  # noqa: ARG002 - LangGraph's own
        """Return a version that comes after another one, and that no other branch of the thread has."""
        number = 0 if current is None else int(current.split(".")[0])
        return f"{number + 1:032}.{random.getrandbits(64):016x}"

    # -- reading -----------------------------------------------------------------------------------

    def get_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Return a checkpoint, the newest of its thread if the config names none."""
        shelf = self._shelf(config)
        parents = self._fx.entity(shelf.contents).state() or {}
        wanted = get_checkpoint_id(config) or max(parents, default="")
        if wanted not in parents:
            return None
        kept = self._fx.entity(shelf.checkpoint(wanted)).state()
        return None if kept is None else self._tuple(shelf, wanted, parents[wanted], kept)

    def list(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name for it
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> Iterator[CheckpointTuple]:
        """Yield the checkpoints of a thread, or of all, newest first."""
        left = limit
        for shelf, parents in self._shelves(config):
            for checkpoint_id, kept in self._kept(shelf, _chosen(parents, config, before)):
                if filter and not filter.items() <= self._unpack(kept["metadata"]).items():
                    continue
                if left is not None and left <= 0:
                    return
                left = None if left is None else left - 1
                yield self._tuple(shelf, checkpoint_id, parents[checkpoint_id], kept)

    def _shelves(self, config: RunnableConfig | None) -> _Shelves:
        """Return the shelves that a config means, with the checkpoints of each and their parents."""
        named = config["configurable"] if config else {}
        if "thread_id" in named and "checkpoint_ns" in named:
            shelf = Shelf(self._memory, named["thread_id"], named["checkpoint_ns"])
            return [(shelf, self._fx.entity(shelf.contents).state() or {})]
        thread = named.get("thread_id")
        prefix = f"{self._memory}/" if thread is None else thread_prefix(self._memory, thread)
        with self._fx.live(prefix) as entities:
            found = ((shelf_of(self._memory, one), parents) for one, parents in sorted(entities.items()))
            return [(shelf, parents) for shelf, parents in found if shelf is not None]

    def _kept(self, shelf: Shelf, ids: Sequence[str]) -> Iterator[tuple[str, _Entity]]:
        """Yield checkpoints, read some at a time."""
        for begin in range(0, len(ids), _READ_AT_ONCE):
            names = {shelf.checkpoint(one): one for one in ids[begin : begin + _READ_AT_ONCE]}
            for entity_id, kept in self._fx.states(names).items():
                if kept is not None:
                    yield names[entity_id], kept

    def _tuple(self, shelf: Shelf, checkpoint_id: str, parent: str, kept: _Entity) -> CheckpointTuple:
        checkpoint: Checkpoint = self._unpack(kept["checkpoint"])
        channels = {
            shelf.value(name, version): name for name, version in checkpoint["channel_versions"].items()
        }
        writes = shelf.writes(checkpoint_id)
        rows = self._fx.states([writes, *channels])
        values = {channels[one]: row["value"] for one, row in rows.items() if one != writes and row}
        checkpoint["channel_values"] = {
            name: self._unpack(value) for name, value in values.items() if value != _NO_VALUE
        }
        return CheckpointTuple(
            config=_config(shelf, checkpoint_id),
            checkpoint=checkpoint,
            metadata=self._unpack(kept["metadata"]),
            parent_config=_config(shelf, parent) if parent else None,
            pending_writes=self._pending(rows[writes] or {}),
        )

    def _pending(self, rows: _Entity) -> _Pending:
        """Return what tasks have written, in LangGraph's order."""
        keyed = []
        for name, (path, channel, *packed) in rows.items():
            task_id, _, index = name.rpartition(" ")
            write = (task_id, channel, self._unpack(packed))
            keyed.append((writes_sort_key(path, task_id, int(index)), write))
        return [write for _, write in sorted(keyed, key=lambda one: one[0])]

    # -- the same for coroutines: what waits is waited for in a thread -------------------------------

    async def aput(
        self,
        config: RunnableConfig,
        checkpoint: Checkpoint,
        metadata: CheckpointMetadata,
        new_versions: ChannelVersions,
    ) -> RunnableConfig:
        """See `put`."""
        return await asyncio.to_thread(self.put, config, checkpoint, metadata, new_versions)

    async def aput_writes(
        self,
        config: RunnableConfig,
        writes: Sequence[tuple[str, Any]],
        task_id: str,
        task_path: str = "",
    ) -> None:
        """See `put_writes`."""
        await asyncio.to_thread(self.put_writes, config, writes, task_id, task_path)

    async def adelete_thread(self, thread_id: str) -> None:
        """See `delete_thread`."""
        await asyncio.to_thread(self.delete_thread, thread_id)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """See `get_tuple`."""
        return await asyncio.to_thread(self.get_tuple, config)

    async def alist(
        self,
        config: RunnableConfig | None,
        *,
        filter: dict[str, Any] | None = None,  # noqa: A002 - LangGraph's name for it
        before: RunnableConfig | None = None,
        limit: int | None = None,
    ) -> AsyncIterator[CheckpointTuple]:
        """See `list`."""
        found = self.list(config, filter=filter, before=before, limit=limit)
        while (one := await asyncio.to_thread(next, found, None)) is not None:
            yield one

    # -- bytes and texts -----------------------------------------------------------------------------

    def _packed(self, values: _Entity, channel: str) -> _Packed:
        return self._pack(values[channel]) if channel in values else _NO_VALUE

    def _pack(self, value: Any) -> _Packed:
        kind, data = self.serde.dumps_typed(value)
        return [kind, b64encode(data).decode()]

    def _unpack(self, packed: Sequence[str]) -> Any:
        kind, text = packed
        return self.serde.loads_typed((kind, b64decode(text)))

    def _shelf(self, config: RunnableConfig) -> Shelf:
        named = config["configurable"]
        return Shelf(self._memory, named["thread_id"], named.get("checkpoint_ns", ""))


def _config(shelf: Shelf, checkpoint_id: str) -> RunnableConfig:
    named = {"thread_id": shelf.thread, "checkpoint_ns": shelf.ns, "checkpoint_id": checkpoint_id}
    return {"configurable": named}


def _chosen(parents: _Entity, config: RunnableConfig | None, before: RunnableConfig | None) -> list[str]:
    """Return the checkpoints that are meant, newest first."""
    only = get_checkpoint_id(config) if config else None
    bound = get_checkpoint_id(before) if before else None
    return [
        one
        for one in sorted(parents, reverse=True)
        if (only is None or one == only) and (bound is None or one < bound)
    ]
