from __future__ import annotations

import hashlib
import struct
import tracemalloc
from random import Random
from typing import Any

import msgspec
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from flux_actors.domain.entity import EntityRow
from flux_actors.domain.event import Event
from flux_actors.domain.fold import PartitionState
from flux_actors.errors import Corrupt
from flux_actors.log.block import Block
from flux_actors.snapshot.codec import MAGIC, VERSION, Header, SnapshotWriter, read_snapshot, verify_snapshot
from flux_actors.snapshot.cut import Cut
from tests.unit.domain.strategies import events, few, logs, numbered, whole

HEADER = Header("log", 3, 7, 11, 2, [(1, 5)], [(4_096, "bad")], 1, 2)


def snapshot_of(state: PartitionState) -> bytes:
    cut = Cut(state, "log")
    parts = []
    while (part := cut.next_slice()) is not None:
        parts.append(part)
    return b"".join(parts)


def folded(log: list[Block]) -> PartitionState:
    state = PartitionState(3)
    state.apply(numbered(log))
    return state


def sealed(*frames: Any, prefix: bytes = MAGIC + struct.pack(">H", VERSION)) -> bytes:
    """A snapshot whose checksum is right, whatever its frames hold."""
    encoded = [frame if isinstance(frame, bytes) else msgspec.msgpack.encode(frame) for frame in frames]
    body = zstandard.compress(b"".join(struct.pack(">I", len(frame)) + frame for frame in encoded))
    return signed(prefix + body)


def signed(data: bytes) -> bytes:
    return data + hashlib.blake2b(data, digest_size=32).digest()


LOG = [
    Block(
        1, 1, 5, [Event("a/1", {"n": 1}, "id", True, "s", "t", 1), Event("a/2", {}, "x", False, "s", "t", 1)]
    )
]
SNAPSHOT = snapshot_of(folded(LOG))


@given(logs)
@few
def test_snapshot_reads_back_as_the_state_it_was_made_of(log: list[Block]) -> None:
    state = folded(log)
    header, again = read_snapshot([snapshot_of(state)])
    assert whole(again) == whole(state)
    assert (header.log_id, header.partition, header.sequence) == ("log", 3, state.sequence)
    assert again.partition == 3


@given(st.lists(st.lists(events, max_size=2), max_size=3), st.integers(1, 100))
@few
def test_snapshot_holds_any_value_and_comes_in_any_pieces(batches: list[list[Event]], size: int) -> None:
    state = folded([Block(9, number, number, list(batch)) for number, batch in enumerate(batches, 1)])
    data = snapshot_of(state)
    pieces = [data[at : at + size] for at in range(0, len(data), size)]
    assert whole(read_snapshot(iter(pieces))[1]) == whole(state)


@given(logs, st.integers(0, 9))
@few
def test_snapshot_and_the_log_behind_it_give_the_same_state_as_the_log(log: list[Block], at: int) -> None:
    _, state = read_snapshot([snapshot_of(folded(log[:at]))])
    state.apply(numbered(log[at:], len(log[:at]) + 1))
    assert whole(state) == whole(folded(log))


def test_snapshot_that_was_cut_short_anywhere_is_corrupt() -> None:
    for length in range(len(SNAPSHOT)):
        with pytest.raises(Corrupt):
            read_snapshot([SNAPSHOT[:length]])


def test_any_bit_flipped_is_corrupt() -> None:
    for bit in range(len(SNAPSHOT) * 8):
        damaged = bytearray(SNAPSHOT)
        damaged[bit // 8] ^= 1 << bit % 8
        for use in (read_snapshot, verify_snapshot):
            with pytest.raises(Corrupt):
                use([bytes(damaged)])


@pytest.mark.parametrize("size", [1, 3, 31, 32, 33, 1_000])
def test_snapshot_verifies_however_it_is_cut_into_pieces(size: int) -> None:
    verify_snapshot(SNAPSHOT[start : start + size] for start in range(0, len(SNAPSHOT), size))
    for length in range(len(SNAPSHOT)):
        with pytest.raises(Corrupt):
            verify_snapshot(SNAPSHOT[start : min(start + size, length)] for start in range(0, length, size))


def test_large_snapshot_is_never_held_whole() -> None:
    state = PartitionState(0)
    noise = Random(1)
    rows = [EntityRow(f"n/{number}", {"text": noise.randbytes(5_000).hex()}, 1, 1) for number in range(1_000)]
    state.adopt_rows(rows)
    cut = Cut(state, "log")
    parts = list(iter(cut.next_slice, None))
    assert sum(map(len, parts)) > 4_000_000
    tracemalloc.start()
    verify_snapshot(parts)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3_000_000


@given(st.binary(max_size=200), st.sampled_from([b"", MAGIC, MAGIC + b"\0\1"]))
@few
def test_random_bytes_are_corrupt(data: bytes, prefix: bytes) -> None:
    with pytest.raises(Corrupt):
        read_snapshot([prefix + data])


@given(st.binary(max_size=60) | st.binary(max_size=60).map(zstandard.compress))
@few
def test_random_content_under_a_true_checksum_is_corrupt(body: bytes) -> None:
    with pytest.raises(Corrupt):
        read_snapshot([signed(MAGIC + struct.pack(">H", VERSION) + body)])


def test_nothing_and_more_than_a_snapshot_are_corrupt() -> None:
    for data in (b"", b"FLUXSNAP", SNAPSHOT + b"\0", SNAPSHOT * 2):
        with pytest.raises(Corrupt):
            read_snapshot([data])


@pytest.mark.parametrize("prefix", [MAGIC + b"\0\4", MAGIC + b"\0\0", b"OTHERSNP\0\1"])
def test_snapshot_of_another_version_or_kind_is_corrupt(prefix: bytes) -> None:
    with pytest.raises(Corrupt, match="not known"):
        read_snapshot([sealed(HEADER, ["end", 0, 0], prefix=prefix)])


def test_sealed_snapshot_without_entities_is_a_state() -> None:
    header, state = read_snapshot([sealed(HEADER, ["end", 0, 0])])
    assert header == HEADER
    assert (state.sequence, state.clock_us, state.events_total) == (7, 11, 2)
    assert (state.committers, state.poison) == ({1: 5}, [(4_096, "bad")])


ROW = ["a/1", {"n": 1}, 4_096, 5, b""]


@pytest.mark.parametrize(
    "frames",
    [
        pytest.param([], id="nothing"),
        pytest.param([HEADER], id="no trailer"),
        pytest.param([HEADER, ["rows", [ROW]]], id="rows without a trailer"),
        pytest.param([HEADER, ["rows", [ROW]], ["end", 2, 0]], id="an entity is missing"),
        pytest.param([HEADER, ["rows", [ROW]], ["end", 0, 0]], id="an entity too many"),
        pytest.param([HEADER, ["rows", [ROW, ROW]], ["end", 2, 0]], id="an entity twice"),
        pytest.param([HEADER, ["ids", True, ["a"]], ["end", 0, 0]], id="an id too many"),
        pytest.param([HEADER, ["ids", True, ["a"]], ["end", 0, 2]], id="an id is missing"),
        pytest.param([["log", 3], ["end", 0, 0]], id="a header too short"),
        pytest.param([["end", 0, 0]], id="no header"),
        pytest.param([HEADER, ["other", []], ["end", 0, 0]], id="an unknown frame"),
        pytest.param([HEADER, b"\xc1", ["end", 0, 0]], id="a frame that is no msgpack"),
        pytest.param([HEADER, b"", ["end", 0, 0]], id="an empty frame"),
        pytest.param(
            [HEADER, ["rows", [["a/1", {"n": 1}, "x", 5]]], ["end", 1, 0]], id="a row of wrong types"
        ),
        pytest.param([HEADER, b"\x92\xa4rows\x91\x94\xa1\xff\x80\x01\x01", ["end", 1, 0]], id="no UTF-8"),
        pytest.param([HEADER, ["rows", [[*ROW[:4], b"1234567"]]], ["end", 1, 0]], id="a torn history"),
    ],
)
def test_sealed_snapshot_that_contradicts_itself_is_corrupt(frames: list[Any]) -> None:
    with pytest.raises(Corrupt):
        read_snapshot([sealed(*frames)])


def test_writer_gives_each_byte_once() -> None:
    writer = SnapshotWriter(HEADER)
    pieces = [writer.take(), writer.take()]
    writer.ids(["a", "b"], elder=True)
    writer.ids(["c"], elder=False)
    pieces += [writer.take(), writer.finish(), writer.take()]
    assert (pieces[1], pieces[-1]) == (b"", b"")
    _, state = read_snapshot(pieces)
    assert (state.window.elder.ids, state.window.younger.ids) == (["a", "b"], ["c"])
    assert (state.window.elder.start_us, state.window.younger.start_us) == (1, 2)
