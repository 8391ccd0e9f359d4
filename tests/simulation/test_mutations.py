"""The simulation finds bugs: the engine is broken on purpose, and some seed tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from flux_actors import limits
from flux_actors.behaviour.dispatching import Dispatcher
from flux_actors.domain import termed
from flux_actors.domain.acting.causes import Causes
from flux_actors.domain.dedupe import DedupeWindow
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Unavailable
from flux_actors.feed.feeds import Feeds
from flux_actors.log import committer
from flux_actors.log.block import encode_block
from flux_actors.log.committer import Committer
from flux_actors.log.pull import JetStreamReader
from flux_actors.router.router import Router
from flux_actors.router.topology import TOPOLOGY_KEY, encode
from flux_actors.shard import recovering
from flux_actors.shard.ring import FeedRing
from flux_actors.snapshot import codec
from flux_actors.snapshot.cut import Cut
from flux_api.view import LiveView
from tests.simulation.history import run

SEEDS_MAX = 300
Break = Callable[[pytest.MonkeyPatch], None]


def retry_is_a_new_block(patch: pytest.MonkeyPatch) -> None:
    """A committer's retry comes under another number and another id."""

    async def append(self: Any, pieces: Any) -> Any:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limits.append_deadline_s
        count = sum(piece.events for piece in pieces)
        while True:
            self._number += 1
            termed = any(piece.termed for piece in pieces)
            data = encode_block(
                self._identity, self._number, self._now_us(), [p.data for p in pieces], count, termed=termed
            )
            try:
                return await self._log.append(
                    self._partition, data, f"{self._identity}-{self._number}", limits.append_timeout_s
                )
            except Unavailable as error:
                if loop.time() >= deadline:
                    return error
                await asyncio.sleep(limits.append_retry_s)

    patch.setattr(Committer, "_append", append)


def unknown_counts_as_durable(patch: pytest.MonkeyPatch) -> None:
    """What is not known to be stored is told to be."""
    told = committer._settle  # noqa: SLF001

    def settle(pieces: Any, outcome: Any) -> None:
        told(pieces, 4_096 >> limits.offset_bits if isinstance(outcome, Unavailable) else outcome)

    patch.setattr(committer, "_settle", settle)


def late_copies_count(patch: pytest.MonkeyPatch) -> None:
    """A block that was seen before is applied again."""
    patch.setattr(PartitionState, "_repeated", lambda self, block: False)


def reader_ignores_gaps(patch: pytest.MonkeyPatch) -> None:
    """What arrives from the log is taken as it comes."""

    def contiguous(self: Any) -> Any:
        found = list(self._arrived)
        self._arrived.clear()
        self._last = found[-1].sequence if found else self._last
        return found

    patch.setattr(JetStreamReader, "_contiguous", contiguous)
    patch.setattr(PartitionState, "_follow", lambda self, sequence: setattr(self, "sequence", sequence))


def feed_tells_twice(patch: pytest.MonkeyPatch) -> None:
    """A door tells what it has told already, as a zombie or a second copy brings it."""

    def take(self: Any, part: Any, message: Any) -> None:
        if part.sequence is not None and message.after > part.sequence:
            part.backlog.append(message)
            self._repair(part)
            return
        if self._listener.listens and message.changes:
            self._listener.on_changes(message.changes)
        part.verdicts.hear(message.refused)
        part.reach(max(message.sequence, part.sequence or 0))

    patch.setattr(Feeds, "_take", take)


def ring_forgets(patch: pytest.MonkeyPatch) -> None:
    """A ring says that nothing was missed."""

    def since(self: Any, sequence: int, until: int) -> list[bytes]:
        return []

    take = Feeds._take  # noqa: SLF001

    def jump(self: Any, part: Any, message: Any) -> None:
        if part.sequence is not None and message.after > part.sequence:
            part.reach(message.after)
        take(self, part, message)

    patch.setattr(FeedRing, "since", since)
    patch.setattr(Feeds, "_take", jump)


def snapshot_tears(patch: pytest.MonkeyPatch) -> None:
    """A cut does not write what is about to change."""
    patch.setattr(Cut, "before_change", lambda self, actor: None)


def snapshot_forgets_ids(patch: pytest.MonkeyPatch) -> None:
    """What a snapshot brings back knows no event ids."""
    patch.setattr(codec, "DedupeWindow", lambda *generations: DedupeWindow())


def effects_count_again(patch: pytest.MonkeyPatch) -> None:
    """An effect counts as often as it is published."""
    patch.setattr(Causes, "admit", lambda self, cause: True)


def handled_too_early(patch: pytest.MonkeyPatch) -> None:
    """A message is done before its effects are durable."""
    finish = Dispatcher._finish  # noqa: SLF001
    patch.setattr(Dispatcher, "_finish", lambda self, outcome, waits: finish(self, outcome, []))


def conditions_always_hold(patch: pytest.MonkeyPatch) -> None:
    """A condition is not asked."""
    patch.setattr(termed, "applies", lambda *given: True)


def snapshot_says_too_much(patch: pytest.MonkeyPatch) -> None:
    """A snapshot claims the first block behind it, too."""
    read = codec.read_snapshot

    def read_snapshot(*given: Any) -> Any:
        header, state = read(*given)
        state.sequence += 1
        return header, state

    patch.setattr(recovering, "read_snapshot", read_snapshot)


def views_miss_what_came_meanwhile(patch: pytest.MonkeyPatch) -> None:
    """A copy that was fetched does not get the changes that came while it was fetched."""

    def on_changes(self: Any, changes: Any) -> None:
        for change in changes:
            kept = self._kept.get(change.entity_id)
            if kept is not None:
                kept.apply(change.read())

    patch.setattr(LiveView, "on_changes", on_changes)


def topology_without_compare_and_set(patch: pytest.MonkeyPatch) -> None:
    """A router writes over what another one has written."""

    async def write(self: Any) -> None:
        self._revision = await self._store.put(TOPOLOGY_KEY, encode(self.topology), None)
        self._unwritten = False

    patch.setattr(Router, "_write", write)


def reader_never_looks(patch: pytest.MonkeyPatch) -> None:
    """A reader does not look whether the newest block was lost on its way: it was so once."""

    async def has_missed(self: Any) -> bool:
        return False

    patch.setattr(JetStreamReader, "_has_missed", has_missed)


# With the first seed that is tried: one that found it, or not far in front of it.
MUTATIONS: list[tuple[Break, int]] = [
    (retry_is_a_new_block, 30),
    (unknown_counts_as_durable, 20),
    (late_copies_count, 0),
    (reader_ignores_gaps, 0),
    (feed_tells_twice, 0),
    (ring_forgets, 0),
    (snapshot_tears, 40),
    (snapshot_forgets_ids, 0),
    (effects_count_again, 15),
    (handled_too_early, 30),
    (conditions_always_hold, 0),
    (snapshot_says_too_much, 0),
    (views_miss_what_came_meanwhile, 20),
    (topology_without_compare_and_set, 0),
    (reader_never_looks, 270),
]


@pytest.mark.parametrize(("mutation", "first"), MUTATIONS, ids=[one.__name__ for one, _ in MUTATIONS])
def test_a_seed_finds(mutation: Break, first: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mutation(monkeypatch)
    for seed in range(first, first + SEEDS_MAX):
        if run(seed).wrong:
            return
    pytest.fail(f"{SEEDS_MAX} seeds did not find it: {mutation.__doc__}")
