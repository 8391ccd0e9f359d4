"""Recovery: the newest snapshot that verifies and the log behind it, or a clear refusal to guess."""

from __future__ import annotations

import gc

import pytest

from flux_actors import limits
from flux_actors.domain.entity import EntityRow
from flux_actors.errors import Corrupt, Unavailable
from flux_actors.log.memory import MemoryLog
from flux_actors.shard import recovering
from flux_actors.shard.recovering import recover
from flux_actors.snapshot.codec import Header, SnapshotWriter, encode_row, read_snapshot
from flux_actors.snapshot.files import FileSnapshotStore
from flux_actors.snapshot.memory import MemorySnapshotStore
from tests.unit.shard.hosting import NEWER_BLOCK, POISON, TORN_BLOCK, event, properties_of


async def write_numbers(hosting, *numbers):
    for number in numbers:
        await hosting.write(event("n/e", {"n": number, f"k{number}": True}))


async def test_an_empty_log_makes_an_empty_partition(hosting):
    host = await hosting.recovered()
    assert (host.state.sequence, host.snapshot_sequence, properties_of(host)) == (0, 0, {})


async def test_without_a_snapshot_the_log_is_read_from_its_start(hosting):
    await write_numbers(hosting, 1, 2)
    host = await hosting.recovered()
    assert properties_of(host) == {"n/e": {"n": 2, "k1": True, "k2": True}}
    assert (host.state.sequence, host.log_id) == (2, "memory")


async def test_a_snapshot_stands_for_the_log_before_its_end(hosting):
    await write_numbers(hosting, 1, 2)
    kept = await hosting.snapshot()
    await write_numbers(hosting, 3)
    hosting.log.trim(0, kept + 1)
    host = await hosting.recovered()
    assert properties_of(host) == {"n/e": {"n": 3, "k1": True, "k2": True, "k3": True}}
    assert (host.snapshot_sequence, host.state.sequence) == (2, 3)


async def test_a_snapshot_that_ends_with_the_log_needs_no_block(hosting):
    await write_numbers(hosting, 1)
    hosting.log.trim(0, await hosting.snapshot() + 1)
    assert properties_of(await hosting.recovered()) == {"n/e": {"n": 1, "k1": True}}


class Going(MemoryLog):
    """A log that another shard goes on with behind somebody's look at its bounds."""

    def __init__(self, hosting, go_on):
        super().__init__(2)
        self._hosting = hosting
        self._go_on = go_on

    async def bounds(self, partition):
        found = await super().bounds(partition)
        go_on, self._go_on = self._go_on, None
        if go_on is not None:
            await go_on()
        return found


async def test_a_snapshot_may_be_newer_than_the_look_at_the_log(hosting):
    async def go_on():
        await write_numbers(hosting, 2, 3)
        await hosting.snapshot()

    hosting.log = Going(hosting, go_on)
    await write_numbers(hosting, 1)
    host = await hosting.recovered()
    assert (host.state.sequence, host.snapshot_sequence) == (3, 3)


async def test_a_log_that_is_trimmed_behind_newer_snapshots_is_looked_at_again(hosting, monkeypatch):
    await write_numbers(hosting, 1)
    older = await hosting.snapshot()
    read, trimmed = recovering._newest_state, []  # noqa: SLF001

    async def read_slowly(*given):
        state = await read(*given)
        if not trimmed:
            trimmed.append(True)
            await write_numbers(hosting, 2)
            hosting.log.trim(0, await hosting.snapshot() + 1)
            hosting.store.delete(0, older)
        return state

    monkeypatch.setattr(recovering, "_newest_state", read_slowly)
    host = hosting.host()
    with pytest.raises(Unavailable, match="went on while it was read"):
        await recover(host)
    await recover(host)
    assert (host.state.sequence, host.snapshot_sequence) == (2, 2)


async def test_a_damaged_snapshot_is_passed_over_for_the_one_before(hosting, lines):
    await write_numbers(hosting, 1)
    older = await hosting.snapshot()
    await write_numbers(hosting, 2)
    newer = await hosting.snapshot()
    hosting.store.damage(0, newer)
    hosting.log.trim(0, older + 1)
    host = await hosting.recovered()
    assert host.snapshot_sequence == older
    assert properties_of(host) == {"n/e": {"n": 2, "k1": True, "k2": True}}
    passed_over = [line for line in lines if line["event"] == "snapshot.passed_over"]
    assert [(line["partition"], line["sequence"]) for line in passed_over] == [(0, newer)]


async def test_a_recovery_that_failed_half_way_is_forgotten_by_the_next(hosting, monkeypatch):
    await write_numbers(hosting, 1)
    await hosting.snapshot()
    await write_numbers(hosting, 2)
    host = hosting.host()

    async def away(*_):
        raise Unavailable("the log is away")

    monkeypatch.setattr(recovering, "_replay", away)
    with pytest.raises(Unavailable):
        await recover(host)
    asked = []

    def read_and_ask(*arguments):
        asked.append(host.status().sequence)
        return read_snapshot(*arguments)

    monkeypatch.undo()
    monkeypatch.setattr(recovering, "read_snapshot", read_and_ask)
    assert host.state.sequence == 1
    await recover(host)
    assert properties_of(host) == {"n/e": {"n": 2, "k1": True, "k2": True}}
    assert len(asked) == 1


async def test_a_damaged_snapshot_is_passed_over_before_its_rows_are_taken(hosting):
    await write_numbers(hosting, 1)
    writer = SnapshotWriter(Header("memory", 0, 1, 1, 1, [], [], 0, 0))
    writer.rows([encode_row(EntityRow("n/e", {"n": 9}, 1 << 63, 0))])  # a position that there cannot be
    sink = hosting.store.begin(0, 1)
    sink.write(writer.finish()[:-1] + b"?")
    sink.commit()
    host = await hosting.recovered()
    assert properties_of(host) == {"n/e": {"n": 1, "k1": True}}
    assert host.snapshot_sequence == 0


async def test_when_every_snapshot_is_damaged_the_log_is_read_from_its_start(hosting):
    for number in (1, 2, 3):
        await write_numbers(hosting, number)
        hosting.store.damage(0, await hosting.snapshot())
    host = await hosting.recovered()
    assert host.snapshot_sequence == 0
    assert properties_of(host)["n/e"]["n"] == 3


async def test_a_log_that_begins_behind_the_snapshots_end_is_refused(hosting):
    await write_numbers(hosting, 1)
    await hosting.snapshot()
    await write_numbers(hosting, 2, 3)
    hosting.log.trim(0, 3)
    with pytest.raises(Corrupt, match=r"begins at 3.*ends at 1.*restore a snapshot"):
        await hosting.recovered()


async def test_a_log_without_its_start_needs_a_snapshot(hosting):
    await write_numbers(hosting, 1, 2)
    hosting.log.trim(0, 2)
    with pytest.raises(Corrupt, match="begins at 2"):
        await hosting.recovered()


async def test_a_log_trimmed_to_nothing_needs_a_snapshot(hosting):
    await write_numbers(hosting, 1, 2)
    hosting.log.trim(0, 3)
    with pytest.raises(Corrupt, match="begins at 3"):
        await hosting.recovered()


async def test_an_older_snapshot_does_not_excuse_a_missing_part_of_the_log(hosting):
    await write_numbers(hosting, 1)
    await hosting.snapshot()
    await write_numbers(hosting, 2, 3)
    newest = await hosting.snapshot()
    hosting.store.damage(0, newest)
    hosting.log.trim(0, newest + 1)
    with pytest.raises(Corrupt, match="ends at 1"):
        await hosting.recovered()


async def test_a_log_that_ends_before_the_snapshot_is_refused(hosting):
    await write_numbers(hosting, 1, 2)
    await hosting.snapshot()
    hosting.log.cut_off(0, 1)
    with pytest.raises(Corrupt, match=r"ends at 1, before its snapshot at 2.*restore the log"):
        await hosting.recovered()


async def test_an_older_snapshot_that_fits_a_shortened_log_is_no_way_out(hosting):
    await write_numbers(hosting, 1)
    await hosting.snapshot()
    await write_numbers(hosting, 2)
    await hosting.snapshot()
    hosting.log.cut_off(0, 1)
    with pytest.raises(Corrupt, match="lost acknowledged events"):
        await hosting.recovered()


async def test_a_snapshot_of_another_log_is_refused(hosting):
    await write_numbers(hosting, 1)
    await hosting.snapshot()
    hosting.log = MemoryLog(2, "another")
    with pytest.raises(Corrupt, match="another log"):
        await hosting.recovered()


async def test_a_snapshot_of_another_partition_is_refused(hosting):
    await write_numbers(hosting, 1)
    kept = await hosting.snapshot()
    misplaced = MemorySnapshotStore()
    sink = misplaced.begin(1, kept)
    sink.write(b"".join(hosting.store.read(0, kept)))
    sink.commit()
    hosting.partition, hosting.store = 1, misplaced
    await write_numbers(hosting, 2)
    with pytest.raises(Corrupt):
        await hosting.recovered()


async def test_a_gap_in_the_log_is_refused(hosting, monkeypatch):
    await write_numbers(hosting, 1, 2, 3)
    whole = await hosting.log.bounds(0)
    hosting.log.trim(0, 3)  # while it is read: the bounds were asked for before
    monkeypatch.setattr(hosting.log, "bounds", _always(whole))
    with pytest.raises(Corrupt, match="no longer holds 1"):
        await hosting.recovered()


async def test_a_block_nobody_can_read_is_set_aside_and_the_rest_is_applied(hosting):
    await write_numbers(hosting, 1)
    await hosting.write_bytes(TORN_BLOCK)
    await write_numbers(hosting, 3)
    host = await hosting.recovered()
    assert properties_of(host) == {"n/e": {"n": 3, "k1": True, "k3": True}}
    assert [item.position >> 12 for item in host.state.poison] == [2]


async def test_what_was_set_aside_is_remembered_by_the_snapshot(hosting):
    await hosting.write(event("n/e", {"n": 1}), POISON)
    before = (await hosting.recovered()).state.poison
    await hosting.snapshot()
    assert before
    assert (await hosting.recovered()).state.poison == before


async def test_a_block_of_a_later_version_stops_rather_than_being_guessed_at(hosting):
    await write_numbers(hosting, 1)
    await hosting.write_bytes(NEWER_BLOCK)
    with pytest.raises(Corrupt, match=r"version \d+.*upgrade"):
        await hosting.recovered()


async def test_a_log_that_is_away_is_no_corruption(hosting):
    hosting.log.away = True
    with pytest.raises(Unavailable):
        await hosting.recovered()


async def test_no_feed_goes_out_but_the_ring_can_repair_the_doors_of_the_shard_before(hosting):
    await write_numbers(hosting, 1, 2, 3)
    host = await hosting.recovered()
    assert hosting.heard == []
    assert host.ring.since(0, 3)


async def test_far_from_the_end_no_message_is_made_for_the_ring(hosting, monkeypatch):
    monkeypatch.setattr(limits, "pull_blocks", 1)
    monkeypatch.setattr(recovering, "_RING_BLOCKS", 1)
    await write_numbers(hosting, 1, 2, 3, 4)
    host = await hosting.recovered()
    assert host.ring.since(1, 4) is None
    assert len(host.ring.since(2, 4)) == 2


async def test_what_a_killed_shard_left_half_written_is_swept(hosting, tmp_path):
    hosting.store = FileSnapshotStore(tmp_path)
    await write_numbers(hosting, 1)
    (tmp_path / "0").mkdir()
    (tmp_path / "0" / "00000000000000000001.tmp").write_bytes(b"half")
    await hosting.recovered()
    assert list((tmp_path / "0").iterdir()) == []


async def test_no_message_is_made_that_the_ring_would_lose_before_the_end(hosting, monkeypatch):
    monkeypatch.setattr(limits, "pull_blocks", 1)
    for number in (1, 2, 3, 4):
        await hosting.write(event("n/e", {"n": number, "text": "x" * 1_000}))
    monkeypatch.setattr(limits, "feed_ring_bytes_max", 1_200)  # of two blocks of a kilobyte, half of each
    host = await hosting.recovered()
    assert host.ring.since(0, 4) is None
    made = [line for line in (host.ring.since(place, 4) for place in (1, 2, 3)) if line is not None]
    assert made


async def test_a_partition_that_is_drained_stops_replaying(hosting):
    await write_numbers(hosting, 1, 2)
    host = hosting.host()
    host.draining = True
    await recover(host)
    assert host.state.sequence == 0


async def test_the_collector_runs_again_after_a_recovery_and_after_a_failed_one(hosting):
    await hosting.recovered()
    assert gc.isenabled()
    hosting.log.away = True
    with pytest.raises(Unavailable):
        await hosting.recovered()
    assert gc.isenabled()


def _always(bounds):
    async def answer(_):
        return bounds

    return answer
