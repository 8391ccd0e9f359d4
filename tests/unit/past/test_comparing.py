"""A shard's partition against its log: the same, or told where it is not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flux_actors import limits
from flux_actors.behaviour.reducing import DirectReducers
from flux_actors.domain.acting.acting import ActingFault
from flux_actors.domain.acting.catalogue import Catalogue
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.block import Block
from flux_actors.past import comparing
from flux_actors.past.comparing import Compared, Comparing
from flux_actors.shard.partition import decoded
from flux_actors.snapshot.cut import Cut
from flux_actors.snapshot.digest import Digest, DigestWriter, decode_digest
from tests.unit.domain.strategies import few, logs
from tests.unit.past.folding import Folding, encoded
from tests.unit.shard.hosting import event


class Shard:
    """A shard that has applied some of a log; each question finds it a block further."""

    def __init__(
        self, folding: Folding, behind: int = 0, history: int = limits.history_positions_max
    ) -> None:
        self.folding = folding
        self.history = history
        self.behind = behind
        self.asked: list[tuple[list[str], list[int]]] = []
        self.spoil: Callable[[PartitionState], Any] = lambda state: None

    async def digest(self, partition: int, suspended: list[str], wanted: list[int]) -> Digest:
        self.asked.append((suspended, wanted))
        state = PartitionState(partition, history_positions=self.history)
        state.acting.reducers = DirectReducers()
        blocks = self.folding.blocks[: len(self.folding.blocks) - self.behind]
        self.behind = max(0, self.behind - 1)
        state.apply(((block.sequence, decoded(block)) for block in blocks), feed=False)
        self.spoil(state)
        cut = Cut(state, "", lambda header: DigestWriter(header, suspended, wanted))
        found = decode_digest(b"".join(iter(cut.next_slice, None)))
        return msgspec.structs.replace(found, history_positions=self.history)


async def compared(folding: Folding, shard: Shard, history: int = limits.history_positions_max) -> Compared:
    told: list[str] = []
    return await Comparing(folding.log, folding.store, folding.code, shard, history, told.append).compare(0)


async def of_values(*values: int) -> Folding:
    folding = Folding()
    for number, value in enumerate(values, 1):
        await folding.write(encoded_block(number, f"a/{number % 3}", value))
    return folding


def encoded_block(number: int, entity: str, value: int) -> bytes:
    return encoded(Block(1, number, number * 10, [event(entity, {"v": value})]))


@given(logs, st.lists(st.integers(1, 9), max_size=2), st.integers(1, 9))
@few
async def test_shard_that_folds_as_the_log_says_is_the_same(
    log: list[Any], snapshots: list[int], first: int
) -> None:
    folding = await Folding.of(log, snapshots)
    if any(sequence >= first - 1 for sequence in folding.store.sequences(0)):
        folding.log.trim(0, min(first, len(folding.blocks)))
    found = await compared(folding, Shard(folding))
    assert found.same
    assert (found.sequence, found.left_out) == (len(folding.blocks), 0)


async def test_entity_that_differs_is_named() -> None:
    folding = await of_values(1, 2, 3, 4)
    shard = Shard(folding)
    shard.spoil = lambda state: state.entities["a/2"].properties.update({"v": 99})
    found = await compared(folding, shard)
    assert (found.same, found.entities_different, found.buckets_different) == (False, ["a/2"], 1)
    assert found.different == []


async def test_entity_that_one_side_lacks_is_named() -> None:
    folding = await of_values(1, 2, 3, 4)
    shard = Shard(folding)

    def lose(state: PartitionState) -> None:
        state.roster.remove(state.entities.pop("a/1"))

    shard.spoil = lose
    assert (await compared(folding, shard)).entities_different == ["a/1"]


async def test_no_more_than_some_entities_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "verify_differences_max", 2)
    folding = await of_values(1, 2, 3, 4)
    shard = Shard(folding)

    def spoil(state: PartitionState) -> None:
        for actor in state.entities.values():
            actor.properties = {"v": "spoilt"}

    shard.spoil = spoil
    found = await compared(folding, shard)
    assert (len(found.entities_different), found.buckets_different) == (2, 3)


async def test_what_differs_beside_entities_is_told() -> None:
    folding = await of_values(1, 2)
    shard = Shard(folding)
    shard.spoil = lambda state: setattr(state, "events_total", 7)
    found = await compared(folding, shard)
    assert (found.same, found.different, found.buckets_different) == (False, ["events"], 0)


async def test_shard_that_is_behind_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparing, "_POLL_S", 0.0)
    folding = await of_values(1, 2, 3, 4)
    shard = Shard(folding, behind=3)
    found = await compared(folding, shard)
    assert (found.same, found.sequence, len(shard.asked)) == (True, 4, 4)


async def test_shard_that_stays_behind_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "backup_patience_s", 0.0)
    folding = await of_values(1, 2, 3, 4)
    with pytest.raises(Unavailable, match="stands at 2, the log was at 4"):
        await compared(folding, Shard(folding, behind=2))


async def test_events_that_come_meanwhile_are_folded_as_well() -> None:
    folding = await of_values(1, 2)
    shard = Shard(folding)
    ask = shard.digest

    async def write_and_ask(partition: int, suspended: list[str], wanted: list[int]) -> Digest:
        number = len(folding.blocks) + 1
        await folding.write(encoded_block(number, "a/1", number))
        return await ask(partition, suspended, wanted)

    shard.digest = write_and_ask  # type: ignore[method-assign]
    shard.spoil = lambda state: state.entities["a/2"].properties.update({"v": 99})
    found = await compared(folding, shard)
    assert (found.sequence, found.entities_different, len(folding.blocks)) == (3, ["a/2"], 4)


async def test_events_that_come_while_the_log_is_folded_are_not_folded_too_early_nor_lost() -> None:
    folding = await of_values(1, 2)
    bounds = folding.log.bounds

    async def grow(partition: int) -> Any:
        found = await bounds(partition)
        for number in range(found.last + 1, found.last + 3):
            await folding.write(encoded_block(number, "a/1", number))
        folding.log.bounds = bounds  # type: ignore[method-assign]
        return found

    folding.log.bounds = grow  # type: ignore[method-assign]
    shard = Shard(folding, behind=1)
    found = await compared(folding, shard)
    assert (found.same, found.sequence) == (True, 3)
    shard.spoil = lambda state: state.entities["a/2"].properties.update({"v": 99})
    assert (await compared(folding, shard)).entities_different == ["a/2"]


async def test_history_counts_unless_its_length_was_changed() -> None:
    folding = await of_values(*range(40))
    assert (await compared(folding, Shard(folding, history=2), history=2)).same
    assert (await compared(folding, Shard(folding, history=5), history=2)).same
    shard = Shard(folding)
    shard.spoil = lambda state: setattr(state.entities["a/1"], "history", None)
    assert (await compared(folding, shard)).entities_different == ["a/1"]


async def test_entity_that_waits_for_an_order_there_is_left_out() -> None:
    folding = await of_values(1, 2, 3)
    shard = Shard(folding)

    def suspend(state: PartitionState) -> None:
        state.entities["a/1"].properties = {"v": "before"}
        state.acting.catalogue = Catalogue(1)
        state.acting.suspended["a/1"] = ActingFault("a/1", 1, "kind", "text")

    shard.spoil = suspend
    found = await compared(folding, shard)
    assert (found.left_out, found.entities_different, found.different) == (1, [], ["behaviours"])


async def test_trimmed_log_is_folded_from_the_oldest_snapshot_that_verifies() -> None:
    folding = await of_values(1, 2, 3, 4, 5, 6)
    for sequence in (2, 3, 4):
        folding.snapshot(sequence)
    folding.log.trim(0, 3)
    assert (await compared(folding, Shard(folding))).since == 2
    folding.store.damage(0, 2)
    assert (await compared(folding, Shard(folding))).since == 3


async def test_trimmed_log_without_a_snapshot_is_corrupt() -> None:
    folding = await of_values(1, 2, 3)
    folding.log.trim(0, 2)
    with pytest.raises(Corrupt, match="begins at 2, and no snapshot"):
        await compared(folding, Shard(folding))


async def test_how_far_it_is_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "report_every_s", 0.0)
    folding = await of_values(1, 2)
    told: list[str] = []
    await Comparing(folding.log, folding.store, folding.code, Shard(folding), 0, told.append).compare(0)
    assert "partition 0: block 2 of 2, 2 events" in told
